package isonorm.generate;

/** How many tokens of prompts a step may read beside those that it writes. */
interface Pace {

    /** How many tokens may be read beside so many that are written; at least one. */
    int room(int writing);

    /** Tells how long a step took that wrote {@code writing} tokens, 1 or more, and read {@code reading} of prompts; before anybody hears of what it wrote. */
    void took(int writing, int reading, long nanoseconds);

    /** As many as let a step take at most {@value Measured#MOST_TIMES} times as long as one that only writes. */
    static Pace measured() {
        return new Measured();
    }

    /**
     * What was learned of the steps before.
     *
     * <p>A step over so many rows takes about {@code cost * (fixed + rows)}: weights come from memory once, and each row is multiplied by them. So beside {@code writing} rows there may be
     * {@code (MOST_TIMES - 1) * (fixed + writing)} more. How many rows a step's fixed part is worth depends on the processor and on what weights are kept in; the first step
     * that reads behind some that only wrote as many tells it.
     */
    final class Measured implements Pace {

        /** A step that reads is to be below three times one that does not, also where others use the machine at times. */
        static final double MOST_TIMES = 2;

        /** Until steps were seen: of a Zen 5 in bfloat16. */
        private static final double FIRST = 8;

        /** Fewer rows than this take as long, whatever a step that was held up seems to say. */
        private static final double LEAST = 2;

        /** More than a processor with AVX2 has in float32; a step that reads and takes no longer is noise. */
        private static final double MOST = 64;

        /** How much of what was known one step leaves: some five are remembered, so that one that was held up changes little. */
        private static final double MEMORY = 0.8;

        private double fixed = FIRST;
        private int writers;
        private double onlyWriting; // nanoseconds of a step
        private boolean fresh; // whether it was the last step: later the machine, or what is compiled, may have become another

        @Override
        public int room(int writing) {
            return (int) ((MOST_TIMES - 1) * (fixed + writing));
        }

        @Override
        public void took(int writing, int reading, long nanoseconds) {
            if (reading == 0) {
                onlyWriting = writing == writers ? MEMORY * onlyWriting + (1 - MEMORY) * nanoseconds : nanoseconds;
                writers = writing;
                fresh = true;
            } else if (writing == writers && fresh) {
                fresh = false;
                double more = nanoseconds / onlyWriting - 1;
                double seen = more > 0 ? Math.clamp(reading / more - writing, LEAST, MOST) : MOST;
                fixed = Math.pow(fixed, MEMORY) * Math.pow(seen, 1 - MEMORY);
            }
        }
    }
}
