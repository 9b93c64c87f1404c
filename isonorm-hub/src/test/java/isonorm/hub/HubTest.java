package isonorm.hub;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.hub.FakeHub.Fault;
import isonorm.model.Progress;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Models fetched from a hub of ours, whose large files come from a host of another name. */
class HubTest {

    private static final ModelName SMALL = new ModelName("some/small", "main");

    @TempDir
    private Path temporary;

    private FakeHub fake;
    private Duration patience = Duration.ofSeconds(5);

    @BeforeEach
    void serve() throws IOException {
        fake = new FakeHub();
        fake.put("some/small", small());
    }

    @AfterEach
    void stop() throws IOException {
        fake.close();
    }

    private static byte[] bytes(int seed, int length) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static Map<String, byte[]> small() {
        return new HashMap<>(Map.of("config.json", text("{}"), "tokenizer.json", text("{\"a\": 1}"), "model.safetensors", bytes(1, 300_000), "README.md", text("no"),
                "pytorch_model.bin", bytes(2, 100), "onnx/model.onnx", text("no"), "original/config.json", text("no")));
    }

    private Map<String, String> environment(String... more) {
        Map<String, String> environment = new HashMap<>(Map.of("HF_ENDPOINT", fake.endpoint() + "/", "HF_HOME", temporary.resolve("home").toString()));
        for (int i = 0; i < more.length; i += 2) {
            environment.put(more[i], more[i + 1]);
        }
        return environment;
    }

    private Hub hub(String... more) throws IOException {
        return Hub.of(environment(more)).hurried(patience);
    }

    private Hub.Fetched fetch(ModelName name, String... more) throws IOException {
        return hub(more).fetch(name, List.of(), Progress.NONE);
    }

    private HubException refused(ModelName name, String... more) {
        HubException refused = assertThrows(HubException.class, () -> fetch(name, more));
        assertEquals(1, refused.getMessage().lines().count(), refused.getMessage());
        return refused;
    }

    private Path model() {
        return temporary.resolve("home/hub/models--some--small");
    }

    private static Set<String> files(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            return new TreeSet<>(all.filter(path -> !Files.isDirectory(path)).map(path -> folder.relativize(path).toString().replace('\\', '/')).toList());
        }
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void theFilesOfACheckpointAreLaidOutAsPythonsToolsDo() throws IOException {
        Hub.Fetched fetched = fetch(SMALL);
        String commit = fetched.commit();
        assertEquals(model().resolve("snapshots").resolve(commit), fetched.folder());
        assertEquals(Set.of("config.json", "tokenizer.json", "model.safetensors"), files(fetched.folder()));
        assertEquals(300_010, fetched.fetched());
        String sha = FakeHub.hash("SHA-256", bytes(1, 300_000));
        assertEquals(Path.of("../../blobs/" + sha), Files.readSymbolicLink(fetched.folder().resolve("model.safetensors")));
        assertEquals(Set.of(sha, FakeHub.git(text("{}")), FakeHub.git(text("{\"a\": 1}"))), files(model().resolve("blobs")));
        assertArrayEquals(bytes(1, 300_000), Files.readAllBytes(fetched.folder().resolve("model.safetensors")));
        assertEquals(commit, Files.readString(model().resolve("refs/main")));
        assertEquals(Set.of("trees/" + commit + ".json"), files(model()).stream().filter(file -> file.startsWith("trees")).collect(Collectors.toSet()));
        assertTrue(Files.exists(temporary.resolve("home/hub/CACHEDIR.TAG")));
        assertTrue(Files.exists(temporary.resolve("home/hub/.locks/models--some--small/" + sha + ".lock")));
        assertEquals(fetched.folder(), hub().cached(SMALL));
    }

    @Test
    void theSecondTimeOneRequestIsEnough() throws IOException {
        fetch(SMALL);
        fake.requests.clear();
        assertEquals(0, fetch(SMALL).fetched());
        assertEquals(List.of("/api/models/some/small/revision/main"), fake.targets());
    }

    @Test
    void aNewCommitTakesOnlyWhatChanged() throws IOException {
        String first = fetch(SMALL).commit();
        Map<String, byte[]> changed = small();
        changed.put("config.json", text("{\"b\": 2}"));
        fake.put("some/small", changed);
        Hub.Fetched second = fetch(SMALL);
        assertEquals(8, second.fetched());
        assertFalse(first.equals(second.commit()));
        assertEquals(second.folder(), hub().cached(SMALL));
        assertEquals("{}", Files.readString(hub().cached(new ModelName("some/small", first)).resolve("config.json")));
    }

    @Test
    void shardsFollowTheirIndex() throws IOException {
        fake.put("some/large", Map.of("config.json", text("{}"), "model.safetensors.index.json",
                text("{\"weight_map\": {\"a\": \"model-1.safetensors\", \"b\": \"model-2.safetensors\", \"c\": \"model-1.safetensors\"}}"),
                "model-1.safetensors", bytes(1, 1000), "model-2.safetensors", bytes(2, 2000), "model-3.safetensors", bytes(3, 10), "pytorch_model.bin", bytes(4, 10)));
        ModelName large = new ModelName("some/large", "main");
        assertEquals(Set.of("config.json", "model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"), files(fetch(large).folder()));
        Files.delete(hub().cached(large).resolve("model-2.safetensors"));
        HubException partly = assertThrows(HubException.class, () -> hub().cached(large));
        assertTrue(partly.getMessage().contains("is not whole in the Hugging Face cache, model-2.safetensors is missing"), partly.getMessage());
        fake.put("some/sentences", Map.of("config.json", text("{}"), "model.safetensors", bytes(6, 10), "modules.json", text("[]"), "1_Pooling/config.json", text("{}"),
                "sentence_bert_config.json", text("{}"), "config_sentence_transformers.json", text("{}"), "tokenizer/x.json", text("no"), "2_Dense/pytorch_model.bin", text("no")));
        assertEquals(Set.of("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
                files(fetch(new ModelName("some/sentences", "main")).folder()));
        fake.put("some/torch", Map.of("config.json", text("{}"), "pytorch_model.bin", bytes(5, 10), "tf_model.h5", text("no")));
        assertEquals(Set.of("config.json", "pytorch_model.bin"), files(fetch(new ModelName("some/torch", "main")).folder()));
    }

    @Test
    void globsChooseFiles() throws IOException {
        Hub.Fetched fetched = hub().fetch(SMALL, List.of("*.md", "onnx/", "tok?nizer.[j]son"), Progress.NONE);
        assertEquals(Set.of("README.md", "onnx/model.onnx", "tokenizer.json"), fetched.files().keySet());
        if (!System.getProperty("os.name").startsWith("Windows")) {
            assertEquals(Path.of("../../../blobs/" + FakeHub.git(text("no"))), Files.readSymbolicLink(fetched.folder().resolve("onnx/model.onnx")));
        }
        assertThrows(HubException.class, () -> hub().cached(SMALL)); // it has no config.json
        HubException none = assertThrows(HubException.class, () -> hub().fetch(SMALL, List.of("*.gguf"), Progress.NONE));
        assertEquals("some/small has no file that *.gguf matches", none.getMessage());
    }

    @Test
    void theTokenGoesToTheHubAlone() throws IOException {
        fake.put("some/private", small());
        fake.rename("old/private", "some/private");
        Hub.Fetched fetched = fetch(new ModelName("old/private", "main"), "HF_TOKEN", "hf_right\n");
        assertEquals(Optional.of("some/private"), fetched.renamed());
        assertTrue(fake.requests.stream().anyMatch(FakeHub.Request::toCdn));
        for (FakeHub.Request request : fake.requests) {
            assertEquals(request.toCdn() ? null : "Bearer hf_right", request.headers().get("Authorization"), request.target());
        }
        assertEquals(temporary.resolve("home/hub/models--old--private/snapshots").resolve(fetched.commit()), fetched.folder());
    }

    @Test
    void theTokenMayLieInAFile() throws IOException {
        fake.put("some/private", small());
        ModelName hidden = new ModelName("some/private", "main");
        assertEquals(HubException.Reason.MISSING, refused(hidden).reason());
        Files.writeString(Files.createDirectories(temporary.resolve("home")).resolve("token"), "hf_right\n");
        fetch(hidden);
        assertEquals(HubException.Reason.MISSING, refused(hidden, "HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").reason());
        Files.writeString(temporary.resolve("another"), "hf_wrong");
        HubException wrong = refused(hidden, "HF_TOKEN_PATH", temporary.resolve("another").toString());
        assertTrue(wrong.getMessage().contains("does not take the token"), wrong.getMessage());
        assertFalse(wrong.getMessage().contains("hf_wrong"), wrong.getMessage());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            some/none         | main | MISSING  | some/none does not exist on 127.0.0.1:
            some/private      | main | MISSING  | some/private does not exist on 127.0.0.1:
            some/gated        | main | GATED    | some/gated is gated: ask its owner on http://127.0.0.1:
            some/small        | v9   | REVISION | some/small has no revision 'v9'
            """)
    void whatCannotBeHadIsOneLine(String id, String revision, HubException.Reason reason, String begin) {
        fake.put("some/private", small());
        fake.put("some/gated", small());
        HubException refused = refused(new ModelName(id, revision));
        assertEquals(reason, refused.reason());
        assertTrue(refused.getMessage().startsWith(begin), refused.getMessage());
    }

    @Test
    void aBranchWithSlashesIsAFolderOfRefs() throws IOException {
        Hub.Fetched fetched = fetch(new ModelName("some/small", "refs/pr/1"));
        assertEquals(fetched.commit(), Files.readString(model().resolve("refs/refs/pr/1")));
        assertTrue(fake.targets().contains("/api/models/some/small/revision/refs%2Fpr%2F1"));
        assertThrows(HubException.class, () -> hub().cached(new ModelName("some/small", "v2")));
    }

    @Test
    void offlineNothingIsAsked() throws IOException {
        assertEquals(HubException.Reason.OFFLINE, refused(SMALL, "HF_HUB_OFFLINE", "true").reason());
        assertEquals(HubException.Reason.OFFLINE, refused(SMALL, "TRANSFORMERS_OFFLINE", "1").reason());
        assertThrows(HubException.class, () -> hub().cached(SMALL));
        assertEquals(List.of(), fake.requests);
        HubException gone = refused(SMALL, "HF_ENDPOINT", "http://127.0.0.1:9");
        assertEquals(HubException.Reason.UNREACHABLE, gone.reason());
    }

    @Test
    void aFileThatIsCutGoesOnWhereItEnded() throws IOException {
        fake.next("model.safetensors", Fault.CUT, Fault.CUT);
        Hub.Fetched fetched = fetch(SMALL);
        assertEquals(300_010, fetched.fetched());
        List<Map<String, String>> parts = fake.requests.stream().filter(FakeHub.Request::toCdn).map(FakeHub.Request::headers).toList();
        assertEquals(3, parts.size());
        assertFalse(parts.getFirst().containsKey("Range"));
        assertTrue(parts.subList(1, 3).stream().allMatch(headers -> headers.get("Range").startsWith("bytes=") && headers.get("If-Range").startsWith("\"")), parts.toString());
        assertEquals(Set.of("config.json", "tokenizer.json", "model.safetensors"), files(fetched.folder()));
    }

    @ParameterizedTest
    @EnumSource(names = {"CUT", "STALLED", "SILENT", "BUSY"})
    void whatBreaksOffAgainAndAgainIsGoneOnWithTheNextTime(Fault fault) throws IOException {
        patience = Duration.ofMillis(200);
        fake.next("model.safetensors", fault, fault, fault, fault, fault);
        HubException refused = refused(SMALL);
        assertEquals(HubException.Reason.UNREACHABLE, refused.reason());
        assertTrue(refused.getMessage().contains("goes on from there"), refused.getMessage());
        assertFalse(Files.exists(model().resolve("refs/main")));
        assertThrows(HubException.class, () -> hub().cached(SMALL));
        fake.requests.clear();
        patience = Duration.ofSeconds(5);
        boolean some = fault == Fault.CUT || fault == Fault.STALLED;
        assertEquals(some, fetch(SMALL).fetched() < 300_000);
        assertEquals(some, fake.requests.stream().anyMatch(request -> request.toCdn() && request.headers().containsKey("Range")));
        assertArrayEquals(bytes(1, 300_000), Files.readAllBytes(hub().cached(SMALL).resolve("model.safetensors")));
    }

    @ParameterizedTest
    @CsvSource({"CHANGED, with another hash", "LONGER, with another size", "ENDLESS, with another size"})
    void whatIsNotWhatTheHubSaysIsNotKept(Fault fault, String said) throws IOException {
        for (String file : List.of("model.safetensors", "tokenizer.json")) {
            String id = "some/" + fault + file.length();
            fake.put(id, small());
            fake.next(file, fault);
            HubException refused = refused(new ModelName(id, "main"));
            assertEquals(HubException.Reason.DAMAGED, refused.reason());
            assertTrue(refused.getMessage().startsWith(file + " of " + id + " came " + said), refused.getMessage());
            assertThrows(HubException.class, () -> hub().cached(new ModelName(id, "main")));
            assertEquals(fetch(new ModelName(id, "main")).folder(), hub().cached(new ModelName(id, "main")));
        }
    }

    @Test
    void aPartOfAnotherFileIsFoundOutByTheHash() throws IOException {
        Path part = model().resolve("blobs").resolve(FakeHub.hash("SHA-256", bytes(1, 300_000)) + ".isonorm.incomplete");
        Files.createDirectories(part.getParent());
        Files.write(part, bytes(9, 1000));
        fetch(SMALL);
        assertArrayEquals(bytes(1, 300_000), Files.readAllBytes(hub().cached(SMALL).resolve("model.safetensors")));
        assertFalse(Files.exists(part));
    }

    @Test
    void aPartThatBeginsElsewhereIsRefusedAndAWholeOneBeginsAnew() throws IOException {
        fake.next("model.safetensors", Fault.CUT, Fault.ELSEWHERE);
        assertEquals(HubException.Reason.DAMAGED, refused(SMALL).reason());
        fake.next("model.safetensors", Fault.WHOLE);
        assertEquals(300_000, fetch(SMALL).fetched());
    }

    @ParameterizedTest
    @EnumSource(names = {"CUT", "STALLED", "BUSY"})
    void whatTheHubSaysOfAModelIsAskedForAgain(Fault fault) throws IOException {
        patience = Duration.ofMillis(300);
        fake.next("/revision/main", fault);
        fetch(SMALL);
        fake.next("/revision/main", fault, fault, fault, fault, fault);
        assertEquals(HubException.Reason.UNREACHABLE, refused(SMALL).reason());
    }

    @ParameterizedTest
    @CsvSource({"HTML, is no JSON", "ENDLESS, does not come to an end"})
    void whatIsNoAnswerIsSaid(Fault fault, String said) {
        fake.next("/revision/main", fault);
        HubException refused = refused(SMALL);
        assertTrue(refused.getMessage().contains(said), refused.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"../../evil", "/etc/evil", "a/../../../evil", "a//evil", "C:evil", "a\\\\..\\\\evil", "..", "tokenizer\\u0000.json"})
    void aFileOutsideOfItsFolderIsRefused(String path) throws IOException {
        String oid = FakeHub.git(text("{}"));
        fake.list("some/small", "[{\"type\":\"file\",\"path\":\"config.json\",\"size\":2,\"oid\":\"" + oid + "\"},{\"type\":\"file\",\"path\":\"" + path + "\",\"size\":2,\"oid\":\"" + oid + "\"}]");
        HubException refused = assertThrows(HubException.class, () -> hub().fetch(SMALL, List.of("*"), Progress.NONE));
        assertTrue(refused.getMessage().contains("which would lie outside of its folder"), refused.getMessage());
        assertFalse(Files.exists(temporary.resolve("home")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"../../evil", "", "ABC", "0123456789012345678901234567890123456789/../../x"})
    void aHashThatIsNoneIsRefused(String oid) throws IOException {
        fake.list("some/small", "[{\"type\":\"file\",\"path\":\"config.json\",\"size\":2,\"oid\":\"" + oid + "\"}]");
        HubException refused = assertThrows(HubException.class, () -> hub().fetch(SMALL, List.of("*"), Progress.NONE));
        assertTrue(refused.getMessage().contains("without its size and hash"), refused.getMessage());
        assertFalse(Files.exists(temporary.resolve("home")));
    }

    @Test
    void anIndexThatNamesOtherFilesIsRefused() {
        fake.put("some/evil", Map.of("config.json", text("{}"), "model.safetensors.index.json", text("{\"weight_map\": {\"a\": \"../../evil.safetensors\"}}")));
        HubException refused = refused(new ModelName("some/evil", "main"));
        assertTrue(refused.getMessage().contains("has no file \"../../evil.safetensors\", which its model.safetensors.index.json names"), refused.getMessage());
        fake.put("some/gguf", Map.of("config.json", text("{}"), "model.gguf", bytes(1, 10)));
        assertTrue(refused(new ModelName("some/gguf", "main")).getMessage().contains("(it has config.json, model.gguf)"));
        fake.put("some/text", Map.of("README.md", text("{}")));
        assertTrue(refused(new ModelName("some/text", "main")).getMessage().contains("has no config.json"));
    }

    /** As newer tools of Python keep large files once for all models. */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aBlobMayBeALinkIntoAStoreOfAllModels() throws IOException {
        String sha = FakeHub.hash("SHA-256", bytes(1, 300_000));
        Path shared = temporary.resolve("home/hub/blobs/ab/abcd");
        Files.createDirectories(shared.getParent());
        Files.write(shared, bytes(1, 300_000));
        Files.createDirectories(model().resolve("blobs"));
        Files.createSymbolicLink(model().resolve("blobs").resolve(sha), Path.of("../../blobs/ab/abcd"));
        Hub.Fetched fetched = fetch(SMALL);
        assertEquals(10, fetched.fetched());
        assertArrayEquals(bytes(1, 300_000), Files.readAllBytes(fetched.folder().resolve("model.safetensors")));
        Files.delete(shared); // what was in the store may go, and is fetched again
        Files.delete(fetched.folder().resolve("model.safetensors"));
        assertEquals(300_000, fetch(SMALL).fetched());
    }

    @Test
    void withoutLinksASnapshotHasTheFiles() throws IOException {
        Hub.Fetched fetched = fetch(SMALL, "HF_HUB_DISABLE_SYMLINKS", "1");
        assertFalse(Files.isSymbolicLink(fetched.folder().resolve("model.safetensors")));
        assertArrayEquals(bytes(1, 300_000), Files.readAllBytes(fetched.folder().resolve("model.safetensors")));
        assertEquals(0, fetch(SMALL, "HF_HUB_DISABLE_SYMLINKS", "1").fetched());
    }

    @Test
    void progressCountsBytesUpToAll() throws IOException {
        List<Long> done = new ArrayList<>();
        List<Long> totals = new ArrayList<>();
        fake.next("model.safetensors", Fault.CUT, Fault.WHOLE);
        hub().fetch(SMALL, List.of(), (_, now, total) -> {
            synchronized (done) {
                done.add(now);
                totals.add(total);
            }
        });
        assertEquals(300_010, totals.getLast());
        assertEquals(300_010, done.stream().mapToLong(Long::longValue).max().orElseThrow());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', nullValues = "-", textBlock = """
            HF_HOME=/a                               | /a/hub
            HF_HOME=/a,HF_HUB_CACHE=/b               | /b
            HF_HOME=/a,HUGGINGFACE_HUB_CACHE=/c      | /c
            XDG_CACHE_HOME=/x                        | /x/huggingface/hub
            HF_HUB_CACHE=$SOME/hub,SOME=/s           | /s/hub
            HF_HUB_CACHE=${SOME}/hub,SOME=/s,HF_HOME=/a | /s/hub
            """)
    void variablesSayWhereTheCacheIs(String variables, Path cache) throws IOException {
        Map<String, String> environment = new HashMap<>();
        for (String each : variables.split(",")) {
            environment.put(each.split("=")[0], each.split("=")[1]);
        }
        assertEquals(cache, Hub.of(environment).cache());
        assertEquals(Path.of(System.getProperty("user.home"), ".cache/huggingface/hub"), Hub.of(Map.of("HF_HOME", "")).cache());
        assertEquals(Path.of(System.getProperty("user.home"), "c"), Hub.of(Map.of("HF_HUB_CACHE", "~/c")).cache());
        assertThrows(IllegalArgumentException.class, () -> Hub.of(Map.of("HF_ENDPOINT", "ftp://x")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "a/b/c", "a/b@", "a/b@../x", "a/b@x//y", "/a/b", "a/b.git", "a/..", "a--b/c", "./a", "a/-b", "a/b@c d", "C:/b", "~/b"})
    void whatIsNoNameIsAPath(String text) {
        assertEquals(Optional.empty(), ModelName.of(text));
        assertEquals("a.b/c_d-1@v1.0/x", ModelName.of("a.b/c_d-1@v1.0/x").orElseThrow().toString());
    }
}
