import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.recipes.leader.LeaderElectionAware;
import org.apache.zookeeper.recipes.leader.LeaderElectionSupport;

/**
 * One candidate as Java services have them: {@code Foreign latch|selector|support SERVERS PATH TIMEOUT_MS IDENTITY}.
 * What it says and obeys is told in __init__.py.
 */
public final class Foreign {
    private static final BlockingQueue<String> orders = new LinkedBlockingQueue<>();
    private static String servers;
    private static String path;
    private static String identity;
    private static int timeout;

    /** Called by one thread only, that which obeys the orders. */
    private interface Candidate {
        void join() throws Exception;

        void resign() throws Exception;

        Collection<String> members() throws Exception;

        void quit() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        servers = arguments[1];
        path = arguments[2];
        timeout = Integer.parseInt(arguments[3]);
        identity = arguments[4];
        Candidate candidate =
                switch (arguments[0]) {
                    case "latch" -> new Latch(curator());
                    case "selector" -> new Selector(curator());
                    case "support" -> new Support(zookeeper());
                    default -> throw new IllegalArgumentException(arguments[0]);
                };
        Thread reader = new Thread(Foreign::read);
        reader.setDaemon(true);
        reader.start();
        try {
            obey(candidate);
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private static void obey(Candidate candidate) throws Exception {
        candidate.join();
        for (String order; !(order = orders.take()).equals("quit"); ) {
            switch (order) {
                case "resign" -> candidate.resign();
                case "members" -> say("MEMBERS", listed(candidate));
                default -> throw new IllegalArgumentException(order);
            }
        }
        candidate.quit();
    }

    private static void read() {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        input.lines().forEach(orders::add);
        orders.add("quit");
    }

    /** Those that leave while they are listed make some of these recipes fail; so does a lost connection. */
    private static String listed(Candidate candidate) throws Exception {
        try {
            return String.join(",", candidate.members());
        } catch (KeeperException | IndexOutOfBoundsException error) {
            return "?";
        }
    }

    private static synchronized void say(String event, String text) {
        String line = event + " " + identity + (text.isEmpty() ? "" : " " + text) + " " + System.nanoTime() + "\n";
        byte[] bytes = line.getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }

    private static void sayUp(ZooKeeper zookeeper) {
        StringBuilder password = new StringBuilder();
        for (byte each : zookeeper.getSessionPasswd()) {
            password.append(String.format("%02x", each));
        }
        say("UP", Long.toHexString(zookeeper.getSessionId()) + ":" + password);
    }

    private static CuratorFramework curator() throws Exception {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(servers, timeout, 15_000, new ExponentialBackoffRetry(100, 5));
        client.start();
        client.blockUntilConnected();
        sayUp(client.getZookeeperClient().getZooKeeper());
        return client;
    }

    private static ZooKeeper zookeeper() throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zookeeper =
                new ZooKeeper(
                        servers,
                        timeout,
                        event -> {
                            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                                connected.countDown();
                            }
                        });
        connected.await();
        sayUp(zookeeper);
        return zookeeper;
    }

    private static List<String> names(Collection<Participant> participants) {
        return participants.stream().map(Participant::getId).collect(Collectors.toList());
    }

    /** The work: it begins and ends at once. */
    private static final class Work {
        private static boolean runs;

        static synchronized void begin() {
            if (!runs) {
                runs = true;
                say("LEAD", "");
            }
        }

        static synchronized void end() {
            if (runs) {
                runs = false;
                say("STOP", "");
            }
        }
    }

    /** Curator's LeaderLatch. Closed for good when it resigns, so each turn has one of its own. */
    private static final class Latch implements Candidate, LeaderLatchListener {
        private final CuratorFramework client;
        private LeaderLatch latch;

        Latch(CuratorFramework client) {
            this.client = client;
        }

        public void join() throws Exception {
            latch = new LeaderLatch(client, path, identity, LeaderLatch.CloseMode.NOTIFY_LEADER);
            latch.addListener(this);
            latch.start();
        }

        public void isLeader() {
            Work.begin();
        }

        public void notLeader() {
            Work.end();
        }

        public void resign() throws Exception {
            Work.end();
            latch.close();
            join();
        }

        public Collection<String> members() throws Exception {
            return names(latch.getParticipants());
        }

        public void quit() throws Exception {
            Work.end();
            latch.close();
            client.close();
        }
    }

    /** Curator's LeaderSelector: leads as long as takeLeadership runs. */
    private static final class Selector extends LeaderSelectorListenerAdapter implements Candidate {
        private final CuratorFramework client;
        private final LeaderSelector selector;
        private final Semaphore enough = new Semaphore(0);

        Selector(CuratorFramework client) {
            this.client = client;
            selector = new LeaderSelector(client, path, this);
            selector.setId(identity);
            selector.autoRequeue();
        }

        public void join() {
            selector.start();
        }

        public void takeLeadership(CuratorFramework client) throws InterruptedException {
            enough.drainPermits();
            Work.begin();
            try {
                enough.acquire();
            } finally {
                Work.end();
            }
        }

        public void resign() {
            enough.release();
        }

        public Collection<String> members() throws Exception {
            return names(selector.getParticipants());
        }

        public void quit() {
            selector.close();
            client.close();
        }
    }

    /** The recipe that ZooKeeper itself brings. It lists no members, and fails when one leaves while it looks at them. */
    private static final class Support implements Candidate, LeaderElectionAware {
        private final ZooKeeper zookeeper;
        private LeaderElectionSupport support;

        Support(ZooKeeper zookeeper) throws Exception {
            this.zookeeper = zookeeper;
            try {
                zookeeper.create(path, new byte[0], ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            } catch (KeeperException.NodeExistsException error) {
                // another was faster
            }
        }

        public void join() {
            support = new LeaderElectionSupport();
            support.setZooKeeper(zookeeper);
            support.setRootNodeName(path);
            support.setHostName(identity);
            support.addListener(this);
            support.start();
        }

        public void onElectionEvent(LeaderElectionSupport.EventType event) {
            if (event == LeaderElectionSupport.EventType.ELECTED_COMPLETE) {
                Work.begin();
            } else if (event == LeaderElectionSupport.EventType.FAILED) {
                Work.end();
                orders.add("resign"); // not here: we are inside its own call
            }
        }

        public void resign() {
            Work.end();
            if (!zookeeper.getState().isAlive()) {
                throw new IllegalStateException("its session has expired, and the recipe knows no other");
            }
            support.stop();
            join();
        }

        public Collection<String> members() throws Exception {
            return List.of(support.getLeaderHostName());
        }

        public void quit() throws Exception {
            Work.end();
            support.stop();
            zookeeper.close();
        }
    }
}
