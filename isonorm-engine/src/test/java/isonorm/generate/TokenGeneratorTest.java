package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.generate.GeneratedTokens.Ending;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TokenGeneratorTest {

    private static final Sampling DRAWN = Sampling.greedy().temperature(1.5).topP(.9).repetitionPenalty(1.2).seed(4);
    private static final TokenListener ON = (_, _) -> true;

    @Test
    void promptsAreReadOneByOneAndRowsGoOnTogether() throws IOException {
        Invented words = Invented.random(100, 50);
        GeneratedTokens all = TokenGenerator.of(words).generate(prompts(), 3, Sampling.greedy(), Set.of(), ON);
        long[] a = all.rows().get(0).ids();
        long[] b = all.rows().get(1).ids();
        long[] c = all.rows().get(2).ids();
        assertEquals(List.of("[[1, 2, 3]]", "[[4]]", "[[5, 6]]", "[[%d], [%d], [%d]]".formatted(a[0], b[0], c[0]),
                "[[%d], [%d], [%d]]".formatted(a[1], b[1], c[1])), words.calls());
        assertEquals(6, all.read());
        assertEquals(9, all.written());
        assertEquals(List.of(), words.open());
    }

    @Test
    void aRowDoesNotDependOnItsBatch() throws IOException {
        TokenGenerator generator = TokenGenerator.of(Invented.random(100, 50));
        List<long[]> prompts = new ArrayList<>(prompts());
        List<GeneratedTokens.Row> together = generator.generate(prompts, 40, DRAWN, Set.of(7L, 8L, 9L), ON).rows();
        for (int row = 0; row < 3; row++) {
            List<long[]> others = new ArrayList<>(List.of(new long[] {11}, new long[] {12, 13}, new long[] {14}, new long[] {15}));
            others.set(row, prompts.get(row));
            GeneratedTokens.Row among = generator.generate(others, 40, DRAWN, Set.of(7L, 8L, 9L), ON).rows().get(row);
            assertEquals(together.get(row).toString(), among.toString());
        }
        assertArrayEquals(together.getFirst().ids(), generator.generate(prompts.subList(0, 1), 40, DRAWN, Set.of(7L, 8L, 9L), ON).rows().getFirst().ids());
    }

    @Test
    void theSeedDecidesAndEachRowDrawsItsOwn() throws IOException {
        TokenGenerator generator = TokenGenerator.of(Invented.random(100, 50));
        List<long[]> same = List.of(new long[] {1}, new long[] {1});
        String first = generator.generate(same, 20, DRAWN, Set.of(), ON).rows().toString();
        assertEquals(first, generator.generate(same, 20, DRAWN, Set.of(), ON).rows().toString());
        List<GeneratedTokens.Row> other = generator.generate(same, 20, DRAWN.seed(5), Set.of(), ON).rows();
        assertTrue(!other.toString().equals(first) && !other.get(0).toString().equals(other.get(1).toString()), other + " " + first);
    }

    @Test
    void everyRowEndsForItsOwnReason() throws IOException {
        Invented words = Invented.saying(1, 50, 10, 11, 12, 13, 14, 15, 16);
        List<String> heard = new ArrayList<>();
        List<GeneratedTokens.Row> rows = TokenGenerator.of(words).generate(List.of(new long[] {1}, new long[] {2}), 5, Sampling.greedy(), Set.of(13L),
                new TokenListener() {
                    @Override
                    public boolean token(int row, long id) {
                        heard.add(row + ": " + id);
                        return row == 0 || id < 11;
                    }

                    @Override
                    public void ended(int row, Ending ending) {
                        heard.add(row + " " + ending);
                    }
                }).rows();
        assertEquals(List.of("0: 10", "1: 10", "0: 11", "1: 11", "1 LISTENER", "0: 12", "0 END_OF_TEXT"), heard);
        assertEquals("[10, 11, 12, 13] behind 1, END_OF_TEXT", rows.get(0).toString());
        assertEquals("[10, 11] behind 1, LISTENER", rows.get(1).toString());
        assertEquals("[10, 11, 12, 13, 14] behind 1, LENGTH",
                TokenGenerator.of(words).generate(List.of(new long[] {1}), 5, Sampling.greedy(), Set.of(), ON).rows().getFirst().toString());
        assertEquals(List.of(), words.open());
    }

    /** The last token needs no place, for nobody reads it. */
    @Test
    void theContextIsUsedUp() throws IOException {
        Invented words = Invented.random(5, 50);
        for (int prompt = 1; prompt <= 5; prompt++) {
            GeneratedTokens.Row row = TokenGenerator.of(words).generate(List.of(new long[prompt]), 100, Sampling.greedy(), Set.of(), ON).rows().getFirst();
            assertEquals(Ending.CONTEXT, row.ending());
            assertEquals(6 - prompt, row.ids().length);
        }
    }

    @Test
    void thePenaltyCountsPromptAndGenerated() throws IOException {
        Invented words = Invented.saying(1, 50, 10, 10, 10);
        Sampling penalized = Sampling.greedy().repetitionPenalty(1e30);
        GeneratedTokens.Row row = TokenGenerator.of(words).generate(List.of(new long[] {1}), 2, penalized, Set.of(), ON).rows().getFirst();
        assertArrayEquals(new long[] {10, 10}, row.ids()); // small, and still above the zeros
        words = Invented.saying(1, 50, 0, 0);
        assertArrayEquals(new long[] {0, 0}, TokenGenerator.of(words).generate(List.of(new long[] {0}), 2, penalized, Set.of(), ON).rows().getFirst().ids());
    }

    @Test
    void whatTheListenerThrowsEndsAll() {
        Invented words = Invented.random(100, 50);
        assertThrows(IOException.class, () -> TokenGenerator.of(words).generate(prompts(), 9, Sampling.greedy(), Set.of(), (row, _) -> {
            if (row == 1) {
                throw new IOException("closed");
            }
            return row != 0;
        }));
        assertEquals(List.of(), words.open());
    }

    @Test
    void promptsThatCannotBeContinuedAreNamed() {
        refused("the prompt must have a token to be continued, got none; give it some text", new long[0]);
        refused("prompt 2 must have a token", new long[1], new long[0]);
        refused("the prompt must fit the model's context of 5 tokens, got 6; shorten it", new long[6]);
        refused("prompt 2 must consist of token ids, which are 0 or more, got -1", new long[1], new long[] {1, -1});
        assertTrue(assertThrows(IllegalArgumentException.class, () -> TokenGenerator.of(Invented.random(5, 9)).generate(prompts(), 0,
                Sampling.greedy(), Set.of(), ON)).getMessage().contains("at least 1 token must be generated, got a maximum of 0"));
    }

    private static void refused(String message, long[]... prompts) {
        Invented words = Invented.random(5, 9);
        String said = assertThrows(IllegalArgumentException.class,
                () -> TokenGenerator.of(words).generate(List.of(prompts), 3, Sampling.greedy(), Set.of(), ON)).getMessage();
        assertTrue(said.contains(message), said);
        assertEquals(List.of(), words.calls());
    }

    private static List<long[]> prompts() {
        return List.of(new long[] {1, 2, 3}, new long[] {4}, new long[] {5, 6});
    }
}
