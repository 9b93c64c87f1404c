package isonorm.convert;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.family.RemoteCode;
import isonorm.model.Transformer;
import isonorm.rewrite.ModelWriter;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * Writes what check_remote_code.py loads into transformers: {@code OUT} gets a folder for every fixture in every form of Isonorm's own, and as it is
 * ({@code own}), rotated where it can be, with a basis for each sub-layer too, in few bits and beside that with the same values as numbers, and for every strategy, each with the inputs and outputs that it must give. With {@code --stock} first, what check_hf.py loads instead:
 * every fixture in its family's own format, centred, and back from both forms of Isonorm's own, and as each other family that it fits.
 */
final class TransformersFolders {

    private static final List<Form> FORMS = List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM, Form.RMSNORM);

    private TransformersFolders() {}

    public static void main(String[] arguments) throws IOException {
        boolean stock = arguments[0].equals("--stock");
        Path out = Files.createDirectories(Path.of(arguments[stock ? 1 : 0]));
        List<String> asked = Arrays.asList(arguments).subList(stock ? 2 : 1, arguments.length);
        if (stock) {
            for (String name : asked.isEmpty() ? Fixtures.all() : asked) {
                writeStock(out, Fixtures.open(name), name);
            }
            return;
        }
        for (String name : Fixtures.all()) {
            if (asked.isEmpty() || asked.contains(name)) {
                writeFixture(out, name);
            }
        }
        for (Map<String, Architecture> all : List.of(Strategies.all(), Strategies.images())) {
            for (Map.Entry<String, Architecture> strategy : all.entrySet()) {
                String name = "strategy " + strategy.getKey();
                if (asked.isEmpty() || asked.contains(name)) {
                    writeStrategy(out.resolve((name + "--own").replace(' ', '_')), strategy.getValue());
                }
            }
        }
    }

    private static void writeStock(Path out, LoadedModel model, String name) throws IOException {
        if (Conversion.refusals(model, Form.CENTRED).isEmpty()) {
            Conversion.of(model, Form.CENTRED).inType(Dtype.F32).writeTo(out.resolve(name + "--centred"));
        }
        for (String family : Conversion.families()) {
            if (Conversion.refusals(model, family).isEmpty()) {
                Conversion.as(model, family).inType(Dtype.F32).writeTo(out.resolve(name + "--as-" + family));
            }
        }
        for (Form form : List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            if (Conversion.refusals(model, form).isEmpty()) {
                Path there = out.resolve("own").resolve(name + "--" + form.label());
                Conversion.of(model, form).inType(Dtype.F32).writeTo(there);
                LoadedModel written = LoadedModel.open(there);
                if (Conversion.refusals(written, Form.PRE_LN).isEmpty()) {
                    Conversion.of(written, Form.PRE_LN).writeTo(out.resolve(name + "--pre-ln-from-" + form.label()));
                }
            }
        }
    }

    private static void writeFixture(Path out, String name) throws IOException {
        LoadedModel model = Fixtures.open(name);
        for (Form form : FORMS) {
            if (Conversion.refusals(model, form).isEmpty()) {
                Path folder = out.resolve(name + "--" + form.label());
                Conversion.of(model, form).inType(Dtype.F32).writeTo(folder);
                Files.copy(Fixtures.folder(name).resolve("golden.safetensors"), folder.resolve("golden.safetensors.inputs"));
            }
        }
        OptionalInt same = OptionalInt.empty();
        Optional<Conversion.Rotation> rotation = Stream.of(OptionalInt.of(model.model().width() - 1), same)
                .flatMap(width -> Stream.of(true, false).map(heads -> new Conversion.Rotation("random", 1, width, same, heads))).filter(each -> Conversion.refusals(model, each).isEmpty()).findFirst();
        if (rotation.isPresent()) {
            Path folder = out.resolve(name + "--rotated");
            Conversion.rotated(model, rotation.get()).inType(Dtype.F32).writeTo(folder);
            Files.copy(Fixtures.folder(name).resolve("golden.safetensors"), folder.resolve("golden.safetensors.inputs"));
        }
        Conversion.Rotation each = new Conversion.Rotation("principal", 0, same, same, false, "per-block");
        if (Conversion.refusals(model, each).isEmpty()) {
            Path folder = out.resolve(name + "--per-block");
            Conversion.rotated(model, each, SampleBases.of(model)).inType(Dtype.F32).writeTo(folder);
            Files.copy(Fixtures.folder(name).resolve("golden.safetensors"), folder.resolve("golden.safetensors.inputs"));
        }
        Conversion few = Conversion.quantized(model, new Conversion.Bits(4, 8, 32, List.of()), Map.of(), "rtn").inType(Dtype.F32);
        Path bits = out.resolve(name + "--few-bits");
        few.writeTo(bits);
        Files.copy(Fixtures.folder(name).resolve("golden.safetensors"), bits.resolve("golden.safetensors.inputs"));
        writeOwn(bits.resolve(name + "--as-numbers"), few.result()); // names differ, by which transformers tells classes apart
        Path own = writeOwn(out.resolve(name + "--own"), model.model());
        Files.copy(Fixtures.folder(name).resolve("golden.safetensors"), own.resolve("golden.safetensors.inputs"));
    }

    private static Path writeOwn(Path folder, Transformer model) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        ModelWriter.write(Files.createDirectory(folder), Model.of(model), RemoteCode.named(Isonorm.config(architecture, Isonorm.VERSION), architecture),
                Isonorm.naming(), Dtype.F32);
        RemoteCode.writeTo(folder);
        return folder;
    }

    private static void writeStrategy(Path folder, Architecture architecture) throws IOException {
        writeOwn(folder, Strategies.random(architecture));
        Transformer written = LoadedModel.open(folder).model();
        SampleCheckpoint golden = new SampleCheckpoint(Config.of(Map.of()));
        PlainForward.Input input;
        switch (architecture.embedding()) {
            case Embedding.Patches patches -> {
                double[] pixels = new SplittableRandom(5).doubles((long) patches.channels() * patches.height() * patches.width(), -1, 1).toArray();
                input = new PlainForward.Input(null, pixels, null);
                golden.put("pixel_values", Dtype.F64, List.of(1L, (long) patches.channels(), (long) patches.height(), (long) patches.width()), pixels);
            }
            case Embedding.Tokens _, Embedding.Sound _ -> {
                int[] ids = Strategies.ids(9, 4);
                input = PlainForward.Input.tokens(ids);
                golden.put("input_ids", Dtype.F64, List.of(1L, (long) ids.length), Arrays.stream(ids).asDoubleStream().toArray());
            }
        }
        PlainForward.Result result = new PlainForward(written).run(input);
        double[] values = Arrays.stream(result.output()).flatMapToDouble(Arrays::stream).toArray();
        long width = result.output()[0].length;
        List<Long> shape = values.length == width && architecture.embedding() instanceof Embedding.Patches ? List.of(1L, width)
                : List.of(1L, (long) result.output().length, width);
        golden.put("output", Dtype.F64, shape, values);
        if (result.pooled() != null) {
            golden.put("pooled", Dtype.F64, List.of(1L, (long) result.pooled().length), result.pooled());
        }
        Path saved = golden.save(Files.createDirectory(folder.resolve("golden")));
        Files.move(saved.resolve("model.safetensors"), folder.resolve("golden.safetensors.inputs"));
        Files.delete(saved.resolve("config.json"));
        Files.delete(saved);
    }
}
