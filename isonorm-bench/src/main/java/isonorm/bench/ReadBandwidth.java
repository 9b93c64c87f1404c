package isonorm.bench;

import isonorm.measure.Bandwidth;

/** What the machine's memory gives to two threads, which the figures of kernels are to be seen against. */
public final class ReadBandwidth {

    private ReadBandwidth() {}

    public static void main(String[] arguments) {
        System.out.printf("%.1f GB/s%n", Bandwidth.with(2).gigabytesPerSecond());
    }
}
