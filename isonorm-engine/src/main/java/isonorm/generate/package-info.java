/**
 * Lets a model write: token after token, each chosen from what the model says of all.
 *
 * <pre>{@code
 * LoadedModel model = LoadedModel.open(folder);
 * try (Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"));
 *         Inference inference = Inference.load(model.model(), Compute.F32, 8)) {
 *     Generator generator = Generator.of(inference, tokenizer, EndOfText.of(model));
 *     generator.generate(List.of("ROMEO:"), Options.tokens(100), (row, piece) -> System.out.print(piece));
 * }
 * }</pre>
 */
package isonorm.generate;
