package isonorm.onnx.bridge;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import isonorm.onnx.OnnxRuntime;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** Speaks to ONNX Runtime's own Java; loaded beside its jar, and only then. */
public final class Bridge implements OnnxRuntime {

    private final OrtEnvironment environment;

    public Bridge() throws OrtException {
        environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
        environment.setTelemetry(false);
    }

    @Override
    public String version() {
        return environment.getVersion();
    }

    @Override
    public Session open(Path model, int threads) throws IOException {
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(threads);
            options.addConfigEntry("session.force_spinning_stop", "1"); // else a session that has run takes processors from the next one for a while
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
            return new Loaded(environment, environment.createSession(model.toString(), options));
        } catch (OrtException e) {
            throw failed(e);
        }
    }

    private static IOException failed(OrtException e) {
        return new IOException("ONNX Runtime says: " + String.valueOf(e.getMessage()).lines().findFirst().orElse("nothing"), e);
    }

    private record Loaded(OrtEnvironment environment, OrtSession session) implements Session {

        @Override
        public Map<String, Values> run(Map<String, Values> inputs) throws IOException {
            Map<String, OnnxTensor> given = new HashMap<>();
            try {
                tensors(inputs, given);
                try (OrtSession.Result result = session.run(given)) {
                    Map<String, Values> outputs = new LinkedHashMap<>();
                    for (Map.Entry<String, OnnxValue> each : result) {
                        outputs.put(each.getKey(), values((OnnxTensor) each.getValue()));
                    }
                    return outputs;
                }
            } catch (OrtException e) {
                throw failed(e);
            } finally {
                given.values().forEach(OnnxTensor::close);
            }
        }

        @Override
        public void run(Map<String, Values> inputs, String output, ByteBuffer into, long... shape) throws IOException {
            Map<String, OnnxTensor> given = new HashMap<>();
            try (OnnxTensor made = OnnxTensor.createTensor(environment, into, shape, OnnxJavaType.FLOAT)) {
                tensors(inputs, given);
                session.run(given, Set.of(), Map.of(output, made)).close();
            } catch (OrtException e) {
                throw failed(e);
            } finally {
                given.values().forEach(OnnxTensor::close);
            }
        }

        private void tensors(Map<String, Values> inputs, Map<String, OnnxTensor> into) throws OrtException {
            for (Map.Entry<String, Values> each : inputs.entrySet()) {
                into.put(each.getKey(), tensor(each.getValue()));
            }
        }

        private OnnxTensor tensor(Values values) throws OrtException {
            return switch (values) {
                case Values.Integers(long[] all, long[] shape) -> OnnxTensor.createTensor(environment, LongBuffer.wrap(all), shape);
                case Values.Reals(float[] all, long[] shape, boolean half) -> {
                    if (!half) {
                        yield OnnxTensor.createTensor(environment, FloatBuffer.wrap(all), shape);
                    }
                    ShortBuffer halves = ByteBuffer.allocateDirect(all.length * Short.BYTES).order(ByteOrder.nativeOrder()).asShortBuffer();
                    for (int i = 0; i < all.length; i++) {
                        halves.put(i, Float.floatToFloat16(all[i]));
                    }
                    yield OnnxTensor.createTensor(environment, halves, shape, OnnxJavaType.FLOAT16);
                }
            };
        }

        private static Values values(OnnxTensor tensor) throws OrtException {
            long[] shape = tensor.getInfo().getShape();
            if (tensor.getInfo().type == OnnxJavaType.INT64) {
                LongBuffer all = tensor.getLongBuffer();
                long[] values = new long[all.remaining()];
                all.get(values);
                return new Values.Integers(values, shape);
            }
            FloatBuffer all = tensor.getFloatBuffer();
            float[] values = new float[all.remaining()];
            all.get(values);
            return new Values.Reals(values, shape, tensor.getInfo().type == OnnxJavaType.FLOAT16);
        }

        @Override
        public void close() {
            try {
                session.close();
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
