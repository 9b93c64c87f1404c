package isonorm.convert;

import isonorm.architecture.Role;
import isonorm.checkpoint.Config;
import isonorm.family.Isonorm;
import isonorm.family.Stock;
import isonorm.model.ConversionRefused;
import isonorm.weights.Basis;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantized;
import isonorm.weights.QuantizedParts;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What a checkpoint is to become. */
sealed interface Aim {

    /**
     * How a source becomes that.
     *
     * @param untie whether a tied head becomes a weight of its own wherever it could stay tied
     */
    Plan plan(LoadedModel source, boolean untie) throws IOException;

    /** The word for it in reports. */
    String label();

    /** Whether the result is written as a family writes its checkpoints, and not in Isonorm's own format. */
    boolean isFamilyFormat();

    /** The same function in another form. */
    record InForm(Form form) implements Aim {

        @Override
        public Plan plan(LoadedModel source, boolean untie) throws IOException {
            return Plan.of(source, form, untie);
        }

        @Override
        public String label() {
            return form.label();
        }

        @Override
        public boolean isFamilyFormat() {
            return form.isFamilyFormat();
        }
    }

    /** The same function as a model of another family. */
    record AsFamily(Stock stock) implements Aim {

        @Override
        public Plan plan(LoadedModel source, boolean untie) throws IOException {
            return Plan.of(source, stock, untie);
        }

        @Override
        public String label() {
            return stock.type();
        }

        @Override
        public boolean isFamilyFormat() {
            return true;
        }
    }

    /**
     * A stream in another basis.
     *
     * @param given the basis, where it isn't what the rotation says it is made of, or one for each sub-layer and one behind the last block
     * @param stock the family whose checkpoint it becomes, where it is to be an ordinary one
     */
    record Rotated(Rotation rotation, List<Basis> given, Optional<Stock> stock) implements Aim {

        @Override
        public Plan plan(LoadedModel source, boolean untie) throws IOException {
            return Rotating.plan(source, rotation, given, untie, stock);
        }

        @Override
        public String label() {
            return stock.map(Stock::type).orElse(Form.PRE_RMSNORM.label());
        }

        @Override
        public boolean isFamilyFormat() {
            return stock.isPresent();
        }
    }

    /**
     * The same architecture with matrices in few bits, another function.
     *
     * @param chosen codes and scales by the paths of their matrices; others are rounded to the nearest
     * @param method the word for how they were chosen
     */
    record InFewBits(QuantizedParts parts, Map<String, Conversion.Codes> chosen, String method) implements Aim {

        @Override
        public Plan plan(LoadedModel source, boolean untie) throws IOException {
            List<String> reasons = refusals(source);
            if (!reasons.isEmpty()) {
                throw new ConversionRefused(reasons);
            }
            Model original = Model.of(source.model());
            Map<Role, Matrix> weights = new LinkedHashMap<>(original.weights());
            weights.replaceAll((role, matrix) -> {
                Conversion.Codes codes = chosen.get(role.path());
                return codes == null ? matrix : new Quantized.Held(matrix, parts.of(role).orElseThrow(), codes.codes(), codes.scales(), method);
            });
            Model result = parts.applyTo(new Model(original.architecture(), weights));
            boolean own = source.config().textOr("", "model_type").equals("isonorm");
            Config config = own ? source.config()
                    : Isonorm.config(original.architecture(), Isonorm.VERSION).with("source_config", source.config());
            List<String> notes = new ArrayList<>(Plan.notes(source, result.architecture()));
            notes.add("It is another function than its source, near to it; 'isonorm verify' says how near, by KL, top-1 agreement and perplexity.");
            return new Plan(source, Form.PRE_RMSNORM, result, List.of(), result, Isonorm.rotation(source.config()), Isonorm.naming(), Isonorm.quantized(config, parts, method), notes);
        }

        static List<String> refusals(LoadedModel source) {
            return Plan.last(source).filter(_ -> Plan.isQuantized(source)).map(List::of).orElse(List.of());
        }

        @Override
        public String label() {
            return parts.layers().bits() + " bits";
        }

        @Override
        public boolean isFamilyFormat() {
            return false;
        }
    }
}
