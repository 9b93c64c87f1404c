package isonorm.bench;

import isonorm.measure.Bandwidth;
import isonorm.measure.Machine;

/** What the machine's memory gives to two threads, which the figures of kernels are to be seen against. */
public final class ReadBandwidth {

    private static final int THREADS = 2;

    private ReadBandwidth() {}

    public static void main(String[] arguments) {
        System.out.println(Machine.here().line(THREADS));
        System.out.printf("%.1f GB/s%n", Bandwidth.with(THREADS).gigabytesPerSecond());
    }
}
