/** Training on many machines: a {@link isonorm.train.ProcessGroup} on the collectives of torch.distributed (c10d with gloo). */
module isonorm.cluster {
    requires isonorm.engine;

    requires org.bytedeco.javacpp;
    requires org.bytedeco.pytorch;
    requires static org.jspecify;

    provides isonorm.train.ProcessGroup.Provider with isonorm.cluster.GlooProvider;
}
