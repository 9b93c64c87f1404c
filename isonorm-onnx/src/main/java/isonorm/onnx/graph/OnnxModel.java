package isonorm.onnx.graph;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A graph, and what says how it is to be read.
 *
 * @param format the version of the file's format
 * @param opsets the version of each domain's operators
 * @param metadata what people and programs are told
 * @param rest what else its file says
 */
public record OnnxModel(long format, String producer, String producerVersion, Map<String, Long> opsets, Map<String, String> metadata, Graph graph, List<byte[]> rest) {

    public OnnxModel {
        opsets = Collections.unmodifiableMap(new TreeMap<>(opsets));
        metadata = Collections.unmodifiableMap(new TreeMap<>(metadata));
        rest = List.copyOf(rest);
    }

    /** The version of ONNX's own operators; 0 where none is named. */
    public long opset() {
        return opsets.getOrDefault("", opsets.getOrDefault("ai.onnx", 0L));
    }
}
