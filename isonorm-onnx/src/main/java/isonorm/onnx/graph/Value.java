package isonorm.onnx.graph;

import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What is known of a value: its name, and of a tensor the type of its elements and its dimensions.
 *
 * @param message how its file says it, where it comes from one
 */
public record Value(String name, Optional<Type> type, Optional<byte[]> message) {

    /** Of a tensor; its dimensions may be unknown altogether. */
    public record Type(ElementType elements, Optional<List<Dimension>> shape) {}

    /**
     * One dimension: a number, a name for any number, or neither.
     *
     * @param name empty where there is none
     */
    public record Dimension(OptionalLong size, String name) {

        public static Dimension of(long size) {
            return new Dimension(OptionalLong.of(size), "");
        }

        public static Dimension of(String name) {
            return new Dimension(OptionalLong.empty(), name);
        }
    }

    /** A tensor. */
    public static Value of(String name, ElementType elements, Dimension... shape) {
        return new Value(name, Optional.of(new Type(elements, Optional.of(List.of(shape)))), Optional.empty());
    }
}
