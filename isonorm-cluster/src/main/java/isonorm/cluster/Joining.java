package isonorm.cluster;

import isonorm.train.ProcessGroup;
import isonorm.train.ProcessGroup.Launch;
import isonorm.train.ProcessGroup.Rendezvous;
import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.GlooDeviceVector;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.StringVector;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.bytedeco.pytorch.gloo.Device;

/**
 * The way of a process into a group: a store at the address that the launcher gives, where all ranks say that they are there, and connections to all of
 * them.
 *
 * @param step how long a step's collective waits
 */
record Joining(Launch launch, Duration step, Optional<String> networkInterface) {

    /** Processes are started at different times, and may have to unpack much, so that coming may take longer than a step. */
    private static final int COMING = 5;

    private static final long LOOK_MILLIS = 50;

    static Joining of(Launch launch, Duration step) {
        return new Joining(launch, step, Optional.ofNullable(System.getenv("GLOO_SOCKET_IFNAME")).filter(name -> !name.isBlank()));
    }

    private Duration coming() {
        return step.multipliedBy(COMING);
    }

    private String place() {
        return launch.host() + ":" + launch.port();
    }

    ProcessGroup join() throws IOException {
        String address = address();
        Store store = store();
        boolean joined = false;
        try {
            requireAll(store);
            ProcessGroup group = group(store, address);
            joined = true;
            return group;
        } finally {
            if (!joined) {
                store.close();
            }
        }
    }

    private ProcessGroup group(Store store, String address) throws IOException {
        ProcessGroupGloo gloo = connected(store, address);
        boolean joined = false;
        try {
            ProcessGroup group = GlooGroup.of(launch, gloo, store, address, step);
            joined = true;
            return group;
        } catch (ProcessGroup.Broken e) {
            throw unconnected(e);
        } finally {
            if (!joined) {
                gloo.close();
            }
        }
    }

    /**
     * The address of this machine that others reach: the one from which it reaches the place where they meet. What the machine's own name resolves to
     * may be a loopback address.
     */
    private String address() throws IOException {
        try (DatagramSocket socket = new DatagramSocket()) {
            InetAddress master = InetAddress.getByName(launch.host());
            socket.connect(new InetSocketAddress(master, launch.port()));
            InetAddress own = socket.getLocalAddress();
            boolean meant = launch.host().equals("localhost") || launch.host().startsWith("127.") || launch.host().equals("::1");
            boolean elsewhere = launch.local().orElse(launch.size()) < launch.size();
            if (own.isLoopbackAddress() && elsewhere && !meant && networkInterface.isEmpty()) {
                throw new IOException("MASTER_ADDR=" + launch.host() + " is " + own.getHostAddress() + " on its own machine, which others cannot reach; set GLOO_SOCKET_IFNAME"
                        + " to a network interface, or MASTER_ADDR to an address");
            }
            return own.getHostAddress();
        } catch (UnknownHostException e) {
            throw new IOException("MASTER_ADDR=" + launch.host() + " is no name of a machine that is known here", e);
        }
    }

    private Store store() throws IOException {
        boolean server = launch.rank() == 0 && launch.rendezvous() instanceof Rendezvous.OfRanks;
        try (TCPStoreOptions options = new TCPStoreOptions(); Milliseconds most = new Milliseconds(coming().toMillis())) {
            options.port((short) launch.port());
            options.isServer(server);
            options.waitWorkers(false);
            options.timeout(most);
            Store store = NativeOutput.silently(() -> new TCPStore(launch.host(), options));
            return switch (launch.rendezvous()) {
                case Rendezvous.OfRanks _ -> store;
                case Rendezvous.OfLauncher(String attempt) -> new PrefixStore("isonorm/attempt_" + attempt, store); // not what an earlier attempt left
            };
        } catch (RuntimeException e) {
            String message = String.valueOf(e.getMessage());
            if (server && (message.contains("EADDRINUSE") || message.contains("address already in use") || message.contains("failed to listen"))) {
                throw new IOException("the ranks meet at " + place() + ", and another program has that port; set MASTER_PORT to another", e);
            }
            throw new IOException("nobody answers at " + place() + ", where the ranks meet, within " + coming().toSeconds()
                    + " s; look whether rank 0 has begun, and at MASTER_ADDR and MASTER_PORT", e);
        }
    }

    private static String key(int rank) {
        return "isonorm/here/" + rank;
    }

    /** Says that this rank is there, and waits until all are. */
    private void requireAll(Store store) throws IOException {
        List<Integer> missing = IntStream.range(0, launch.size()).boxed().toList();
        try {
            store.set(key(launch.rank()), "yes");
            long end = System.nanoTime() + coming().toNanos();
            while (!missing.isEmpty() && System.nanoTime() < end) {
                List<Integer> still = new ArrayList<>();
                for (int rank : missing) {
                    try (StringVector keys = new StringVector(key(rank))) {
                        if (!NativeOutput.silently(() -> store.check(keys))) {
                            still.add(rank);
                        }
                    }
                }
                missing = still;
                if (!missing.isEmpty()) {
                    Thread.sleep(LOOK_MILLIS);
                }
            }
        } catch (RuntimeException e) {
            throw new IOException("rank 0, or the launcher at " + place() + ", was lost before " + named(missing) + " had come", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while ranks were waited for", e);
        }
        if (!missing.isEmpty()) {
            throw new IOException("of " + launch.size() + " ranks " + named(missing) + " did not come to " + place() + " within " + coming().toSeconds()
                    + " s; look at what its machine says");
        }
    }

    private static String named(List<Integer> ranks) {
        return (ranks.size() == 1 ? "rank " : "ranks ") + String.join(", ", ranks.stream().map(Object::toString).toList());
    }

    private ProcessGroupGloo connected(Store store, String address) throws IOException {
        try {
            return NativeOutput.silently(() -> gloo(store, address));
        } catch (RuntimeException e) {
            throw unconnected(e);
        }
    }

    private ProcessGroupGloo gloo(Store store, String address) {
        try (Milliseconds most = new Milliseconds(step.toMillis()); GlooDeviceVector devices = new GlooDeviceVector()) {
            ProcessGroupGloo.Options options = ProcessGroupGloo.Options.create(most);
            Device device = networkInterface.isPresent() ? ProcessGroupGloo.createDeviceForInterface(networkInterface.get())
                    : ProcessGroupGloo.createDeviceForHostname(address);
            devices.push_back(device);
            options.devices(devices);
            return new ProcessGroupGloo(store, launch.rank(), launch.size(), options);
        }
    }

    private IOException unconnected(RuntimeException e) {
        return new IOException("the ranks that met at " + place() + " could not be connected to each other: " + GlooGroup.firstLine(e)
                + "; look at firewalls between them, and set GLOO_SOCKET_IFNAME where a machine has several networks", e);
    }
}
