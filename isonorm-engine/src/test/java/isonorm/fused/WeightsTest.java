package isonorm.fused;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.layer.Fixture;
import isonorm.measure.Shape;
import isonorm.model.Compute;
import isonorm.tensor.Team;
import isonorm.weights.Model;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Test;

/** How a model's matrices lie in memory, or in its files. */
class WeightsTest {

    @Test
    void matricesOfTheTypeAskedForStayInTheFile() throws IOException {
        Model model = Fixture.named("gpt2").model();
        try (Arena arena = Arena.ofConfined()) {
            Weights mapped = new Weights(model, Compute.F32, arena, false);
            Weights copied = new Weights(model, Compute.BF16, arena, false);
            for (Part part : List.of(Part.QUERY_KEY_VALUE, Part.ATTENTION_OUTPUT, Part.MLP_UP, Part.MLP_DOWN)) {
                Role role = Role.of(part, 0, Role.Field.WEIGHT);
                assertTrue(isMapped(mapped.linear(role)), part + " was copied");
                assertFalse(isMapped(copied.linear(role)), part + " is of another type");
            }
            assertTrue(mapped.rows(Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT)).data().isMapped());
        }
    }

    private static boolean isMapped(Weight weight) {
        return weight instanceof Weight.Mapped mapped && mapped.parts().stream().allMatch(one -> one.values().data().isMapped());
    }

    /** What loading a model into memory of its own pays for is over in a second; a model above that is shared instead. */
    @Test
    void smallModelsAndVisionTransformersAreCopiedIntoPanels() throws IOException {
        Architecture small = Fixture.named("gpt2").model().architecture();
        assertTrue(Weights.packs(small, Compute.F32));
        Architecture large = Shape.named("gpt2-xl").architecture();
        assertFalse(Weights.packs(large, Compute.F16), large.parameterCount() + " values of 16 bits");
        Architecture image = Shape.named("vit-b").architecture();
        assertTrue(Weights.packs(image, Compute.F32));
    }

    /** A tied head and its table are one matrix in memory. */
    @Test
    void aTiedTableIsReadFromTheHead() throws IOException {
        Model model = Fixture.named("gpt2").model();
        Role role = Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT);
        for (Compute compute : List.of(Compute.F32, Compute.BF16, Compute.F16)) {
            try (Arena arena = Arena.ofShared(); Workspace room = new Workspace(Type.F32); Team team = Team.of(2)) {
                Weights weights = new Weights(model, compute, arena, true);
                LookupTable.OfHead table = (LookupTable.OfHead) weights.table(role, true);
                assertSame(((Weight.InPanels) weights.linear(role)).panels(), table.head());
                Rows expected = new Weights(model, compute, arena, false).rows(role);
                int[] ids = {3, expected.rows() - 1, 0, 3, 65};
                LookupTable.Found found = table.find(ids, room, team);
                for (int i = 0; i < ids.length; i++) {
                    for (int c = 0; c < expected.columns(); c++) {
                        assertEquals(expected.get(ids[i], c), found.rows().get(found.ids()[i], c), compute + ", row " + ids[i]);
                    }
                }
            }
        }
    }
}
