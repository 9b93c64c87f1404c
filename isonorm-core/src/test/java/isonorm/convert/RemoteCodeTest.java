package isonorm.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.family.Fixtures;
import isonorm.family.RemoteCode;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files of Python beside checkpoints: those that were tested with transformers, and the class for each kind of model. */
class RemoteCodeTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    @Test
    void whatIsShippedIsWhatCheckRemoteCodeTested() throws IOException {
        JsonNode record = JSON.readTree(Fixtures.folder("remote_code.json").toFile());
        assertEquals(RemoteCode.FILES, record.get("files").propertyStream().map(Map.Entry::getKey).toList());
        for (String file : RemoteCode.FILES) {
            assertEquals(record.at("/files").get(file).asText(), HexFormat.of().formatHex(Fingerprint.sha256().digest(RemoteCode.bytes(file))), file
                    + " is not what was tested; run check_remote_code.py");
        }
        assertTrue(record.get("worst").size() > 400, "few folders were tested");
        assertTrue(new String(RemoteCode.bytes(RemoteCode.FILES.getFirst()), StandardCharsets.UTF_8).contains("\nCODE_VERSION = " + RemoteCode.VERSION + " "));
    }

    @Test
    void aCheckpointOfOurOwnFormatHasThemBesideItUnlessTheyAreLeftOut() throws IOException {
        Path written = folder.resolve("written");
        Conversion.Report report = Conversion.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM).writeTo(written);
        Conversion.Code code = report.code().orElseThrow();
        assertEquals("IsonormForCausalLM", code.modelClass());
        assertEquals(RemoteCode.FILES, code.files().stream().map(Conversion.HashedFile::name).toList());
        for (Conversion.HashedFile file : code.files()) {
            assertArrayEquals(RemoteCode.bytes(file.name()), Files.readAllBytes(written.resolve(file.name())));
            assertEquals(Fingerprint.sha256(written.resolve(file.name())), file.sha256());
        }
        assertEquals(code.files().getLast().sha256(), JSON.readTree(written.resolve("report.json").toFile()).at("/code/files/1/sha256").asText());
        assertEquals(List.of(), LoadedModel.open(written).unknownKeys());

        Pruning.Report pruned = Pruning.of(LoadedModel.open(written), List.of(1)).writeTo(folder.resolve("pruned"));
        assertEquals(code.files(), pruned.code().orElseThrow().files());
        assertTrue(Files.exists(folder.resolve("pruned/modeling_isonorm.py")));

        Path without = folder.resolve("without");
        assertTrue(Conversion.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM).withoutCode().writeTo(without).code().isEmpty());
        assertFalse(Files.exists(without.resolve("modeling_isonorm.py")));
        assertFalse(LoadedModel.open(without).config().has("auto_map"));
        Pruning.of(LoadedModel.open(without), List.of(1)).writeTo(folder.resolve("without-pruned"));
        assertFalse(Files.exists(folder.resolve("without-pruned/modeling_isonorm.py")));
        assertTrue(Conversion.of(Fixtures.open("gpt2"), Form.CENTRED).writeTo(folder.resolve("centred")).code().isEmpty());
        assertFalse(Files.exists(folder.resolve("centred/modeling_isonorm.py")));
    }

    @Test
    void eachKindOfModelHasItsClass() throws IOException {
        Map<String, String> classes = new TreeMap<>();
        for (String name : List.of("gpt2", "bert", "bert-mask", "bert-labels", "bert-token-labels", "gpt2-labels", "llama-token-labels", "vit", "vit-base", "ast", "wav2vec2", "hubert-labels", "t5",
                "whisper", "clip")) {
            LoadedModel model = Fixtures.open(name);
            var architecture = isonorm.weights.Model.of(model.model()).architecture();
            Map<?, ?> map = (Map<?, ?>) RemoteCode.named(model.config(), architecture).find("auto_map").orElseThrow();
            Object last = List.copyOf(map.keySet()).getLast();
            assertEquals("modeling_isonorm." + RemoteCode.modelClass(architecture), map.get(last));
            classes.put(name, last.toString());
        }
        assertEquals(Map.ofEntries(Map.entry("gpt2", "AutoModelForCausalLM"), Map.entry("bert", "AutoModelForMaskedLM"), Map.entry("bert-mask", "AutoModelForMaskedLM"),
                Map.entry("bert-labels", "AutoModelForSequenceClassification"), Map.entry("gpt2-labels", "AutoModelForSequenceClassification"), Map.entry("llama-token-labels", "AutoModelForTokenClassification"),
                Map.entry("bert-token-labels", "AutoModelForTokenClassification"),
                Map.entry("vit", "AutoModelForImageClassification"), Map.entry("vit-base", "AutoModel"), Map.entry("ast", "AutoModelForAudioClassification"),
                Map.entry("wav2vec2", "AutoModelForCTC"), Map.entry("hubert-labels", "AutoModelForAudioClassification"),
                Map.entry("t5", "AutoModelForSeq2SeqLM"), Map.entry("whisper", "AutoModelForSpeechSeq2Seq"),
                Map.entry("clip", "AutoModelForZeroShotImageClassification")), classes);
    }
}
