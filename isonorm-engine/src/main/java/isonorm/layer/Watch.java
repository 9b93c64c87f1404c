package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import org.bytedeco.pytorch.Tensor;

/**
 * Shows an observer the tensors of a pass as rows of float32, if anybody looks.
 *
 * @param first where in the batch the tokens of these tensors begin
 */
record Watch(Observer observer, int first) {

    void stream(int block, Tensor h) {
        if (observer != Observer.NONE) {
            observer.stream(block, rows(h), first);
        }
    }

    void normalized(int block, Tensor x) {
        if (observer != Observer.NONE) {
            observer.normalized(block, rows(x), Values.NONE, first);
        }
    }

    void written(int block, Observer.Branch branch, Tensor x, Tensor h) {
        if (observer != Observer.NONE) {
            observer.written(block, branch, rows(x), Values.NONE, Values.NONE, rows(h), first);
        }
    }

    /** Lives as long as what the pass makes of it. */
    private static Rows rows(Tensor x) {
        Tensor narrow = Ops.cast(x, Compute.F32).contiguous();
        int columns = (int) narrow.size(-1);
        return Rows.of(Memory.bytes(narrow), Type.F32, Math.toIntExact(narrow.numel() / columns), columns);
    }
}
