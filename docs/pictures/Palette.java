import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.io.File;
import java.io.IOException;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;

/**
 * Writes a PNG in 128 colours, each other one as the nearest of them: half the bytes. Of colours that look alike the most frequent is kept.
 * {@code java Palette.java PICTURE.png}
 */
class Palette {

    private static final int COLOURS = 128;

    public static void main(String[] args) throws IOException {
        File file = new File(args[0]);
        BufferedImage from = ImageIO.read(file);
        Map<Integer, Integer> counts = new HashMap<>();
        for (int y = 0; y < from.getHeight(); y++) {
            for (int x = 0; x < from.getWidth(); x++) {
                counts.merge(from.getRGB(x, y), 1, Integer::sum);
            }
        }
        Map<Integer, Map.Entry<Integer, Integer>> alike = new HashMap<>();
        counts.entrySet().forEach(each -> alike.merge(each.getKey() & 0xf8f8f8, each, (one, other) -> one.getValue() >= other.getValue() ? one : other));
        List<Integer> kept = alike.values().stream().sorted(Map.Entry.<Integer, Integer>comparingByValue().reversed().thenComparing(Map.Entry.comparingByKey()))
                .limit(COLOURS).map(Map.Entry::getKey).toList();
        int[] colours = kept.stream().mapToInt(Integer::intValue).toArray();
        IndexColorModel model = new IndexColorModel(8, colours.length, colours, 0, false, -1, java.awt.image.DataBuffer.TYPE_BYTE);
        BufferedImage to = new BufferedImage(from.getWidth(), from.getHeight(), BufferedImage.TYPE_BYTE_INDEXED, model);
        Map<Integer, Integer> nearest = new HashMap<>();
        for (int y = 0; y < from.getHeight(); y++) {
            for (int x = 0; x < from.getWidth(); x++) {
                int index = nearest.computeIfAbsent(from.getRGB(x, y), colour -> java.util.stream.IntStream.range(0, colours.length).boxed()
                        .min(Comparator.comparingInt(i -> distance(colour, colours[i]))).orElseThrow());
                to.getRaster().setSample(x, y, 0, index);
            }
        }
        ImageIO.write(to, "png", file);
    }

    private static int distance(int one, int other) {
        int sum = 0;
        for (int shift = 0; shift < 24; shift += 8) {
            int difference = (one >> shift & 255) - (other >> shift & 255);
            sum += difference * difference;
        }
        return sum;
    }
}
