/** Models as ONNX graphs: written from a checkpoint, and run by ONNX Runtime where its jar is found. */
@SuppressWarnings({"module", "requires-automatic"}) // those it is exported to are compiled after it; ONNX Runtime has no module-info
module isonorm.onnx {
    requires com.fasterxml.jackson.databind;
    requires transitive isonorm.engine;
    requires static com.microsoft.onnxruntime;
    requires static org.jspecify;

    exports isonorm.onnx;
}
