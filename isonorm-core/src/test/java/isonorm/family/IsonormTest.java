package isonorm.family;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class IsonormTest {

    @Test
    void theVersionIsThePoms() throws IOException {
        Matcher version = Pattern.compile("<parent>.*?<version>([^<]+)</version>.*?</parent>", Pattern.DOTALL).matcher(Files.readString(Path.of("pom.xml")));
        assertTrue(version.find(), "the pom has a parent with a version");
        assertEquals(version.group(1), Isonorm.VERSION);
    }
}
