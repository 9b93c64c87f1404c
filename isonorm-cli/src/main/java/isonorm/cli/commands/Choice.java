package isonorm.cli.commands;

import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.embed.Pooling;
import isonorm.measure.Shape;
import isonorm.onnx.OnnxExport;
import isonorm.weights.Rotation;
import isonorm.words.Names;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Words of which there are a few, as option values and elsewhere. */
public final class Choice {

    /** What else hands write for types of numbers. */
    private static final Map<String, String> TYPES = Map.ofEntries(Map.entry("fp16", "f16"), Map.entry("float16", "f16"), Map.entry("half", "f16"),
            Map.entry("bfloat16", "bf16"), Map.entry("fp32", "f32"), Map.entry("float32", "f32"), Map.entry("float", "f32"), Map.entry("fp64", "f64"),
            Map.entry("float64", "f64"), Map.entry("double", "f64"));

    private Choice() {}

    /** The nearest of what is known, else the first that begins like the word; nothing where neither is near. */
    public static String didYouMean(String word, Collection<String> known) {
        Optional<String> begun = known.stream().filter(name -> word.length() > 2 && name.startsWith(word)).findFirst();
        return Names.nearest(word, known).or(() -> begun).map(name -> "; did you mean " + name + "?").orElse("");
    }

    private static String oneOf(List<String> known, String word) {
        if (!known.contains(word)) {
            throw new TypeConversionException("expected one of " + String.join(", ", known) + ", got '" + word + "'" + didYouMean(word, known));
        }
        return word;
    }

    /** A type of numbers under any of its names. What looks like one is another one, so nothing near is offered in its place. */
    private static String type(List<String> known, String word) {
        String type = TYPES.getOrDefault(word.toLowerCase(Locale.ROOT), word);
        if (!known.contains(type)) {
            boolean another = TYPES.containsValue(type);
            throw new TypeConversionException("expected one of " + String.join(", ", known) + ", got '" + word + "'" + (another ? "" : didYouMean(word, known)));
        }
        return type;
    }

    /** The form to convert to. */
    static final class Forms implements ITypeConverter<Form> {
        @Override
        public Form convert(String word) {
            return Form.named(oneOf(Arrays.stream(Form.values()).map(Form::label).toList(), word)).orElseThrow();
        }
    }

    /** The family to write. */
    static final class Families implements ITypeConverter<String> {

        static final String AUTO = "auto";

        @Override
        public String convert(String word) {
            return oneOf(Stream.concat(Conversion.families().stream(), Stream.of(AUTO)).toList(), word);
        }
    }

    /** The basis of a stream. */
    static final class Rotations implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(Arrays.stream(Rotation.Kind.values()).map(Rotation.Kind::label).toList(), word);
        }
    }

    /** How far one basis of a stream reaches. */
    static final class Extents implements ITypeConverter<String> {

        static final String ONE = Rotation.Extent.MODEL.label();

        @Override
        public String convert(String word) {
            return oneOf(Arrays.stream(Rotation.Extent.values()).map(Rotation.Extent::label).toList(), word);
        }
    }

    /** The type to write. */
    static final class Dtypes implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("keep", "f32", "bf16", "f16"), word);
        }
    }

    /** How values become codes. */
    static final class Roundings implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(List.of("rtn", "gptq"), word);
        }
    }

    /** The type to measure in. */
    static final class Measurable implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f32", "bf16"), word);
        }
    }

    /** What of an encoder and a decoder is exported. */
    static final class Parts implements ITypeConverter<OnnxExport.Part> {
        @Override
        public OnnxExport.Part convert(String word) {
            return OnnxExport.Part.valueOf(oneOf(List.of("whole", "encoder", "decoder", "decoder-with-past"), word).replace('-', '_').toUpperCase(Locale.ROOT));
        }
    }

    /** The type of an export. */
    static final class Exportable implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f32", "f16", "bf16"), word);
        }
    }

    /** What runs models to be timed. */
    static final class Runtimes implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(List.of("isonorm", "onnx"), word);
        }
    }

    /** How long something runs before it is measured. */
    static final class WarmUp implements ITypeConverter<Duration> {
        @Override
        public Duration convert(String word) {
            double seconds;
            try {
                seconds = Double.parseDouble(word);
            } catch (NumberFormatException _) {
                seconds = Double.NaN;
            }
            if (!(seconds >= 0 && seconds <= 3600)) {
                throw new TypeConversionException("must be 0 to 3600 seconds, got '" + word + "'");
            }
            return Duration.ofMillis(Math.round(1000 * seconds));
        }
    }

    /** The model to measure. */
    static final class Shapes implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(Shape.names(), word);
        }
    }

    /** Whether the token that begins a text stands in front of one. */
    static final class Beginning implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(List.of("auto", "always", "never"), word);
        }
    }

    /** How rows of results are printed. */
    static final class Formats implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return oneOf(List.of("table", "md", "csv", "json"), word);
        }
    }

    /** How vectors of tokens become one of a text. */
    static final class Poolings implements ITypeConverter<Pooling> {
        @Override
        public Pooling convert(String word) {
            return Pooling.named(oneOf(Pooling.labels(), word)).orElseThrow();
        }
    }

    /** The type to compute in. */
    static final class Computes implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f64", "f32", "bf16"), word);
        }
    }

    /** The type to compute in, or the bits to keep weights in. */
    static final class ComputesAndBits implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f64", "f32", "bf16", "q8", "q4"), word);
        }
    }

    /** The type to measure in, or the bits of weights. */
    static final class MeasurableAndBits implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f32", "bf16", "q8", "q4"), word);
        }
    }

    /** The type to keep weights in. */
    static final class Weights implements ITypeConverter<String> {
        @Override
        public String convert(String word) {
            return type(List.of("f32", "bf16", "f16", "q8", "q4"), word);
        }
    }
}
