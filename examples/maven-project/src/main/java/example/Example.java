package example;

import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.model.Compute;
import isonorm.text.Tokenizer;
import isonorm.train.Strategy;
import isonorm.train.Trainer;
import isonorm.train.TrainingRun;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Converts a checkpoint, verifies that it computes the same, continues a text with it, and trains another. */
final class Example {

    private Example() {}

    /** The checkpoint, and the folder to write, beside which the run's is. */
    static void main(String[] arguments) throws IOException {
        LoadedModel original = LoadedModel.open(Path.of(arguments[0]));
        Path folder = Path.of(arguments[1]);
        Conversion.Report report = Conversion.of(original, Form.PRE_CRMSNORM).overwriting().verifiedBy(Verification.verifier()).writeTo(folder);
        Comparison comparison = report.verification().orElseThrow().decisive();
        System.out.println("the largest error of a logit is " + comparison.largestError() + " of their standard deviation");

        LoadedModel converted = LoadedModel.open(folder);
        try (Inference inference = Inference.load(converted.model(), Compute.F32);
                Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"))) {
            Generator generator = Generator.of(inference, tokenizer, converted);
            generator.generate(List.of("ROMEO:"), Options.tokens(40), (_, text) -> System.out.print(text));
        }
        System.out.println();

        Path empty = Files.createTempDirectory(folder.getParent(), "run");
        TrainingRun run = TrainingRun.in(empty).withSize(16, 2, 2).withStrategy(Strategy.named("peri-ln")).withBatch(2).withSequence(16)
                .withSteps(2);
        try (Trainer trainer = Trainer.begin(run, new Trainer.Watcher() {})) {
            System.out.println("training has " + trainer.run());
        }
    }
}
