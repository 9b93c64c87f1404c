package isonorm.measure;

/** What is known of something that is so or is not. */
public enum Answer {
    YES, NO, UNKNOWN;

    static Answer of(boolean yes) {
        return yes ? YES : NO;
    }
}
