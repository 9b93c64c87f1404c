package isonorm.layer;

import isonorm.weights.Scratch;

/**
 * What a convolution over time sees at each step, laid out as one row, so that the convolution is a product: all frames of the first channel, all of the
 * second, ...; zeros where there is no frame.
 *
 * @param kernel how many frames it sees
 * @param stride from one step to the next
 * @param padding how many frames of zeros stand before the first and behind the last
 */
record Windows(int kernel, int stride, int padding) {

    /** A row for each step, of frames x. */
    Tensor of(Tensor x) {
        int channels = x.width();
        int steps = (x.count() + 2 * padding - kernel) / stride + 1;
        Tensor seen = x.space().empty(x.type(), steps, channels * kernel);
        x.space().split(steps, (long) steps * seen.width(), (first, some) -> {
            try (Scratch in = Scratch.borrow(channels); Scratch out = Scratch.borrow(channels * kernel)) {
                for (int step = first; step < first + some; step++) {
                    for (int k = 0; k < kernel; k++) {
                        int frame = step * stride + k - padding;
                        boolean there = frame >= 0 && frame < x.count();
                        if (there) {
                            x.rows().read(frame, 0, channels, in.values());
                        }
                        for (int c = 0; c < channels; c++) {
                            out.values()[c * kernel + k] = there ? in.values()[c] : 0;
                        }
                    }
                    seen.rows().write(step, 0, channels * kernel, out.values());
                }
            }
        });
        return seen;
    }
}
