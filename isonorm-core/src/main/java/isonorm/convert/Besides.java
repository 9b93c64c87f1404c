package isonorm.convert;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Naming;
import isonorm.family.Repetition;
import isonorm.rewrite.TensorPlan;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Numbers;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a file in a family's format has beside the parameters: tensors that no output depends on and that other programs miss. Those that the source
 * has are carried over as they are; second names, and tensors without values, are made.
 */
final class Besides {

    private Besides() {}

    /**
     * The tensors of a file, and what it has besides.
     *
     * @param source where what it has besides may be carried over: centring changes nothing that a norm gives, so another head reads what it did
     * @param type of what is carried over; its own otherwise
     */
    static List<TensorPlan> with(List<TensorPlan> tensors, Naming naming, Optional<LoadedModel> source, Optional<Dtype> type) throws CheckpointException {
        Map<String, TensorPlan> all = new LinkedHashMap<>();
        tensors.forEach(tensor -> all.put(tensor.info().name(), tensor));
        if (source.isPresent() && source.get().whole().isEmpty()) {
            for (String name : source.get().unused()) {
                Optional<Repetition> repetition = naming.repetition(name);
                boolean frequencies = repetition.equals(Optional.of(Repetition.FREQUENCIES));
                if (!all.containsKey(name) && (frequencies || repetition.equals(Optional.of(Repetition.OTHER_OUTPUT)))) {
                    carried(source.get(), name, frequencies ? Optional.empty() : type).ifPresent(plan -> all.put(name, plan));
                }
            }
        }
        Map<String, TensorPlan> made = new LinkedHashMap<>();
        naming.copies().forEach((name, original) -> {
            if (all.containsKey(original)) {
                made.put(name, all.get(original).named(name));
            }
        });
        naming.made().forEach((name, what) -> made.put(name, made(new TensorInfo(name, what.values().length == 0 ? tensors.getFirst().info().dtype() : Dtype.F32, what.shape()),
                what.values())));
        made.forEach(all::putIfAbsent);
        return List.copyOf(all.values());
    }

    private static TensorPlan made(TensorInfo info, double[] values) {
        return values.length == 0 ? TensorPlan.empty(info) : TensorPlan.whole(info, true, Dense.of(1, values.length, values));
    }

    private static Optional<TensorPlan> carried(LoadedModel source, String name, Optional<Dtype> type) throws CheckpointException {
        TensorInfo info = source.checkpoint().info(name);
        if (!Numbers.readable(info.dtype())) {
            return Optional.empty();
        }
        TensorInfo written = new TensorInfo(name, type.orElse(info.dtype()), info.shape());
        if (info.elements() == 0) {
            return Optional.of(TensorPlan.empty(written));
        }
        boolean vector = info.shape().size() < 2;
        int first = vector ? Math.toIntExact(info.elements()) : Math.toIntExact(info.shape().getFirst());
        int columns = Math.toIntExact(info.elements() / first);
        Source whole = Source.whole(name, first).withShape(info.shape().toArray(Long[]::new));
        Matrix matrix = vector ? Stored.open(source.checkpoint(), whole, 0, first) : Stored.open(source.checkpoint(), whole, first, columns);
        return Optional.of(TensorPlan.whole(written, vector, matrix));
    }
}
