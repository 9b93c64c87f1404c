package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.mutation.CleanLine;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class NeedTest {

    @Test
    void whatTheMachineHasNoMemoryForIsRefusedWithItsFigures() {
        Need need = new Need(36_507_222_016L, 16, 68e9);
        String said = assertThrows(IllegalArgumentException.class, () -> need.require(8L << 30)).getMessage();
        assertEquals("training would take 607.3 GiB at the least, and there are 8.0: 36,507,222,016 parameters of 16 bytes each (weights, gradients, the"
                + " optimizer's) and 63.3 GiB for a batch; make the model or the batch smaller", said);
        need.require(700L << 30);
    }

    @Test
    void aModelBeyondAllMemoryIsRefusedBeforeAnyIsTaken() {
        for (String key : new String[] {"model.hidden", "model.width", "batch", "sequence"}) {
            Map<String, String> tiny = new HashMap<>(Map.of("model.width", "8", "model.blocks", "1", "model.heads", "1", "batch", "1", "sequence", "4"));
            tiny.put(key, "2147483640");
            TrainingRun huge = Configuration.of(tiny).run();
            String said = assertThrows(IllegalArgumentException.class, () -> Trainer.check(huge)).getMessage();
            assertEquals(Optional.empty(), CleanLine.complaint(said));
            assertTrue(!key.equals("model.hidden") || said.startsWith("training would take "), said);
        }
    }
}
