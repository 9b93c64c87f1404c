package isonorm.words;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class NamesTest {

    private static final List<String> KNOWN = List.of("pre-ln", "pre-rmsnorm", "pre-crmsnorm", "post-ln", "deepnorm");

    @Test
    void nearestIsTheOneOfFewestEdits() {
        assertEquals(Optional.of("pre-rmsnorm"), Names.nearest("pre-rmsnrom", KNOWN));
        assertEquals(Optional.of("pre-crmsnorm"), Names.nearest("pre-crmsnrm", KNOWN));
        assertEquals(Optional.of("post-ln"), Names.nearest("POST-LN", KNOWN));
        assertEquals(Optional.of("deepnorm"), Names.nearest("deepnorm", KNOWN));
    }

    @Test
    void nothingIsNearAStranger() {
        assertEquals(Optional.empty(), Names.nearest("batchnorm2d-fused", KNOWN));
        assertEquals(Optional.empty(), Names.nearest("", KNOWN));
        assertEquals(Optional.empty(), Names.nearest("x", List.of()));
    }

    @Test
    void firstOfEqualsIsNearest() {
        assertEquals(Optional.of("abcd1"), Names.nearest("abcd0", List.of("abcd1", "abcd2")));
    }

    @Test
    void distancesAreThoseOfTheDefinition() {
        assertEquals(3, Names.distance("kitten", "sitting", 10));
        assertEquals(1, Names.distance("ab", "ba", 10));
        assertEquals(3, Names.distance("ca", "abc", 10)); // a pair that was swapped is not edited again
        assertEquals(4, Names.distance("", "four", 10));
    }

    /** Stopping early never changes an answer that is within the limit. */
    @Test
    void limitOnlyCutsOffWhatIsAboveIt() {
        SplittableRandom random = new SplittableRandom(7);
        for (int i = 0; i < 5000; i++) {
            String from = word(random);
            String to = word(random);
            int distance = Names.distance(from, to, 100);
            int limit = random.nextInt(8);
            assertEquals(Math.min(distance, limit + 1), Names.distance(from, to, limit), from + " " + to + " " + limit);
            assertEquals(distance, Names.distance(to, from, 100));
        }
    }

    private static String word(SplittableRandom random) {
        StringBuilder word = new StringBuilder();
        for (int length = random.nextInt(9); word.length() < length; ) {
            word.append((char) ('a' + random.nextInt(3)));
        }
        return word.toString();
    }
}
