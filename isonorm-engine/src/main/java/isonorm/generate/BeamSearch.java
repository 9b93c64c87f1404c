package isonorm.generate;

import isonorm.generate.GeneratedTokens.Ending;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.stream.LongStream;

/**
 * Follows the likeliest texts together and gives the best that ended, as Hugging Face transformers does it: of all beams' next tokens as many as keep
 * every beam going, whatever ends; of those among the first, what ends is a result.
 *
 * @param maximum how many tokens are written at most
 */
record BeamSearch<S>(
        LanguageModel<S> model, Beams beams, int maximum, double repetitionPenalty, Constraints constraints, Set<Long> ends) {

    /** What stands for a beam that is not there, or ended. */
    private static final double NOWHERE = -1e9;

    /** A text on its way; several may stand for one sequence until they go on. */
    private record Beam<S>(S sequence, long[] written, double score) {}

    /** A beam's next token. */
    private record Next(int beam, int id, double score) {}

    private record Ended(long[] written, double score) {}

    /** The best text behind a prompt, which is about the input of that number. */
    GeneratedTokens.Row search(int number, long[] input, long[] prompt) throws IOException {
        List<Beam<S>> running = new ArrayList<>();
        try {
            S first = model.start(number);
            running.add(new Beam<>(first, new long[0], 0));
            float[] logits = model.next(List.of(first), List.of(narrow(prompt))).getFirst().clone();
            List<float[]> all = new ArrayList<>(List.of(logits));
            while (running.size() < beams.count()) {
                running.add(new Beam<>(model.copy(first), new long[0], NOWHERE));
                all.add(logits);
            }
            List<Ended> ended = new ArrayList<>();
            int most = Math.min(maximum, model.context() + 1 - prompt.length);
            for (int length = 1; ; length++) {
                boolean ending = length == most;
                List<Next> next = best(running, all, input, prompt, length == maximum);
                boolean goesOn = false;
                for (int i = 0; i < next.size(); i++) {
                    boolean ends = ending || this.ends.contains((long) next.get(i).id);
                    goesOn |= !ends;
                    if (ends && i < beams.count()) {
                        ended.add(new Ended(behind(running.get(next.get(i).beam), next.get(i).id), next.get(i).score / Math.pow(length, beams.lengthPenalty())));
                    }
                }
                ended.sort(Comparator.comparingDouble(text -> -text.score));
                if (ended.size() > beams.count()) {
                    ended.subList(beams.count(), ended.size()).clear();
                }
                if (!goesOn) {
                    break;
                }
                goOn(running, next.stream().filter(one -> !this.ends.contains((long) one.id)).limit(beams.count()).toList());
                if (done(ended, running.getFirst().score, length)) {
                    break;
                }
                all = model.next(running.stream().map(Beam::sequence).toList(),
                        running.stream().map(beam -> new int[] {(int) beam.written[beam.written.length - 1]}).toList());
            }
            long[] best = ended.getFirst().written;
            Ending why = ends.contains(best[best.length - 1]) ? Ending.END_OF_TEXT : best.length == maximum ? Ending.LENGTH : Ending.CONTEXT;
            return new GeneratedTokens.Row(prompt.length, best, why);
        } finally {
            running.forEach(beam -> model.end(beam.sequence));
        }
    }

    /** Whether no text that goes on, of which the best is given, is worth following. */
    private boolean done(List<Ended> ended, double best, int length) {
        if (ended.size() < beams.count()) {
            return false;
        }
        int hoped = beams.stopping() == Beams.Stopping.NEVER && beams.lengthPenalty() > 0 ? maximum : length;
        return beams.stopping() == Beams.Stopping.FIRST || best / Math.pow(hoped, beams.lengthPenalty()) <= ended.getLast().score;
    }

    /** The best tokens of all beams, so many that as many as there are beams don't end a text. */
    private List<Next> best(List<Beam<S>> running, List<float[]> logits, long[] input, long[] prompt, boolean ending) {
        int kept = Math.max(2, 1 + ends.size()) * beams.count();
        Comparator<Next> better = Comparator.comparingDouble((Next one) -> one.score).thenComparing(Comparator.comparingInt((Next one) -> one.beam).reversed())
                .thenComparing(Comparator.comparingInt((Next one) -> one.id).reversed());
        PriorityQueue<Next> best = new PriorityQueue<>(better);
        for (int b = 0; b < running.size(); b++) {
            Beam<S> beam = running.get(b);
            long[] text = LongStream.concat(Arrays.stream(prompt), Arrays.stream(beam.written)).toArray();
            float[] scores = constraints.apply(penalized(logarithms(logits.get(b)), text), input, text, prompt.length, ending);
            for (int id = 0; id < scores.length; id++) {
                double score = beam.score + scores[id];
                if (best.size() < kept || score > best.element().score) {
                    best.add(new Next(b, id, score));
                    if (best.size() > kept) {
                        best.remove();
                    }
                }
            }
        }
        return best.stream().sorted(better.reversed()).toList();
    }

    private float[] penalized(float[] scores, long[] text) {
        if (repetitionPenalty != 1) {
            Arrays.stream(text).distinct().filter(id -> id < scores.length).forEach(id ->
                    scores[(int) id] *= (float) (scores[(int) id] < 0 ? repetitionPenalty : 1 / repetitionPenalty));
        }
        return scores;
    }

    /** The logarithms of a softmax. */
    private static float[] logarithms(float[] logits) {
        double largest = Double.NEGATIVE_INFINITY;
        for (float logit : logits) {
            largest = Math.max(largest, logit);
        }
        if (!Double.isFinite(largest)) {
            throw new IllegalArgumentException("the largest logit must be finite, got " + largest + "; compute in f32");
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit - largest);
        }
        float[] logarithms = new float[logits.length];
        for (int id = 0; id < logits.length; id++) {
            logarithms[id] = (float) (logits[id] - largest - Math.log(sum));
        }
        return logarithms;
    }

    /** These take the place of what was running; a sequence that several go on from is copied for all but one. */
    private void goOn(List<Beam<S>> running, List<Next> next) throws IOException {
        Map<Integer, Boolean> taken = new LinkedHashMap<>();
        List<Beam<S>> then = new ArrayList<>();
        List<Beam<S>> before = List.copyOf(running);
        for (Next one : next) {
            Beam<S> from = before.get(one.beam);
            S sequence = taken.put(one.beam, true) == null ? from.sequence : model.copy(from.sequence);
            then.add(new Beam<>(sequence, behind(from, one.id), one.score));
            if (sequence != from.sequence) {
                running.add(then.getLast()); // so that it is closed where something fails
            }
        }
        for (int b = 0; b < before.size(); b++) {
            if (!taken.containsKey(b)) {
                model.end(before.get(b).sequence);
            }
        }
        running.clear();
        running.addAll(then);
    }

    private static <S> long[] behind(Beam<S> beam, int id) {
        long[] written = Arrays.copyOf(beam.written, beam.written.length + 1);
        written[beam.written.length] = id;
        return written;
    }

    private static int[] narrow(long[] ids) {
        return Arrays.stream(ids).mapToInt(Math::toIntExact).toArray();
    }
}
