/**
 * Runs and trains models, and verifies that two of them are equal: {@link isonorm.inference.Inference}, {@link isonorm.generate.Generator},
 * {@link isonorm.verify.Verification}, {@link isonorm.train.Trainer} and {@link isonorm.depth.DepthSurvey}.
 */
@SuppressWarnings({"module", "requires-automatic"}) // those it is exported to are compiled after it; two libraries have no module-info
module isonorm.engine {
    requires transitive isonorm.core;

    requires ai.djl.tokenizers;
    requires com.fasterxml.jackson.core;
    requires com.fasterxml.jackson.databind;
    requires com.github.luben.zstd_jni;
    requires dev.hardwood.core;
    requires java.desktop;
    requires java.management;
    requires jdk.management;
    requires static jdk.incubator.vector; // who leaves it out gets plain loops
    requires org.bytedeco.javacpp;
    requires org.snakeyaml.engine;
    requires static org.jspecify;

    exports isonorm.depth;
    exports isonorm.generate;
    exports isonorm.inference;
    exports isonorm.text;
    exports isonorm.train;
    exports isonorm.verify;

    uses isonorm.train.ProcessGroup.Provider; // of isonorm-cluster

    opens isonorm.data to com.fasterxml.jackson.databind; // their records are files
    opens isonorm.train to com.fasterxml.jackson.databind;

    exports isonorm.chat to isonorm.serve;
    exports isonorm.compare to isonorm.cli;
    exports isonorm.data to isonorm.cli;
    exports isonorm.embed to isonorm.serve, isonorm.cli;
    exports isonorm.kernel to isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.layer to isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.measure to isonorm.onnx, isonorm.cli, isonorm.bench;
    exports isonorm.score to isonorm.cli;
    exports isonorm.tensor to isonorm.cli, isonorm.bench;
}
