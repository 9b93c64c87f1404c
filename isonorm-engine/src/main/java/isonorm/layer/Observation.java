package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Team;

/**
 * Shows an observer the tensors of a pass as rows of float32, if anybody looks: each thread its share of the tokens.
 *
 * @param first where in the batch the tokens of these tensors begin
 */
record Observation(Observer observer, int first) {

    void stream(int block, Tensor h) {
        if (observer != Observer.NONE) {
            Rows seen = rows(h);
            share(h, (from, count) -> observer.stream(block, seen.slice(from, count), first + from));
        }
    }

    void normalized(int block, Tensor x) {
        if (observer != Observer.NONE) {
            Rows seen = rows(x);
            share(x, (from, count) -> observer.normalized(block, seen.slice(from, count), Values.NONE, first + from));
        }
    }

    void written(int block, Observer.Branch branch, Tensor x, Tensor h) {
        if (observer != Observer.NONE) {
            Rows seen = rows(x);
            Rows before = rows(h);
            share(x, (from, count) -> observer.written(block, branch, seen.slice(from, count), Values.NONE, Values.NONE,
                    before.slice(from, count), first + from));
        }
    }

    void chosen(int block, Choice[] choices) {
        for (int token = 0; observer != Observer.NONE && token < choices.length; token++) {
            observer.chosen(block, first + token, choices[token]);
        }
    }

    private static void share(Tensor x, Team.Slice slice) {
        x.space().split(x.count(), (long) x.count() * x.width(), slice);
    }

    /** Lives as long as what the pass makes of it. */
    private static Rows rows(Tensor x) {
        return x.to(Type.F32).rows();
    }
}
