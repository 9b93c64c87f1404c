/**
 * Checkpoints, architectures and exact rewrites, in Java alone: a {@link isonorm.convert.LoadedModel} is opened and written in another form by a
 * {@link isonorm.convert.Conversion}.
 */
@SuppressWarnings("module") // those it is exported to are compiled after it
module isonorm.core {
    requires com.fasterxml.jackson.core;
    requires com.fasterxml.jackson.databind;
    requires java.management;
    requires jdk.management;
    requires static jdk.incubator.vector; // who leaves it out gets plain loops
    requires static org.jspecify;

    exports isonorm.checkpoint;
    exports isonorm.convert;
    exports isonorm.model;

    exports isonorm.architecture to isonorm.engine, isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.family to isonorm.engine, isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.gguf to isonorm.cli;
    exports isonorm.rewrite to isonorm.engine;
    exports isonorm.weights to isonorm.engine, isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.words to isonorm.engine, isonorm.onnx, isonorm.cli;
}
