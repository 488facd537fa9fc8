/* One candidate of the C++ scheme, on ZooKeeper's own C library: `mooon SERVERS PATH TIMEOUT_MS IDENTITY`.
 * What it says and obeys is told in __init__.py.
 *
 * Each second try to create one ephemeral node that holds the name; who succeeds sleeps 2 s, so that the one before can
 * finish, and works; each second it looks whether the node still holds its name, and starts over when the session has
 * expired. There is no lease: without a server it works on.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { POLL = 1000, WARM_UP = 2000, CONNECT = 20000 }; /* milliseconds */
enum order { NONE, RESIGN, QUIT };

static const char *servers, *path, *identity;
static int timeout;
static zhandle_t *session;
static volatile int expired;

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void say(const char *event, const char *text) {
    char line[512];
    int length = snprintf(line, sizeof line, "%s %s %s%s%lld\n", event, identity, text, *text ? " " : "", now_ns());
    if (write(STDOUT_FILENO, line, length) != length) exit(1);
}

static void on_session(zhandle_t *of, int type, int state, const char *at, void *context) {
    (void)of, (void)at, (void)context;
    if (type == ZOO_SESSION_EVENT && state == ZOO_EXPIRED_SESSION_STATE) expired = 1;
}

static void start_over(void) {
    char text[64];
    const clientid_t *id;
    if (session) zookeeper_close(session);
    expired = 0;
    session = zookeeper_init(servers, on_session, timeout, NULL, NULL, 0);
    for (int waited = 0; zoo_state(session) != ZOO_CONNECTED_STATE; waited++) {
        if (waited > CONNECT) exit(1);
        usleep(1000);
    }
    id = zoo_client_id(session);
    int length = snprintf(text, sizeof text, "%llx:", (unsigned long long)id->client_id);
    for (size_t i = 0; i < sizeof id->passwd; i++)
        length += snprintf(text + length, sizeof text - length, "%02x", (unsigned char)id->passwd[i]);
    say("UP", text);
}

/* Who holds the node, as text; what the answer was. */
static int holder(char *text, int size) {
    int length = size - 1, answer = zoo_get(session, path, 0, text, &length, NULL);
    text[answer == ZOK && length > 0 ? length : 0] = 0;
    return answer;
}

static int holds(void) {
    char text[256];
    int answer = holder(text, sizeof text);
    if (answer == ZOK) return !strncmp(text, identity, strlen(identity));
    return answer != ZNONODE;
}

/* Reads what there is to read, and does it. */
static enum order obey(void) {
    static char input[256];
    static size_t held;
    char name[256], *end;
    enum order order = NONE;
    ssize_t got = read(STDIN_FILENO, input + held, sizeof input - held);
    if (got <= 0) return QUIT;
    held += got;
    while ((end = memchr(input, '\n', held))) {
        size_t length = end - input;
        if (!strncmp(input, "resign", length)) order = RESIGN;
        else if (!strncmp(input, "quit", length)) order = QUIT;
        else if (!strncmp(input, "members", length)) {
            holder(name, sizeof name);
            say("MEMBERS", *name ? name : "?");
        }
        held -= length + 1;
        memmove(input, end + 1, held);
    }
    return order;
}

/* Obeys orders for so long, or until one of them is to change what we do. */
static enum order nap(int milliseconds) {
    long long until = now_ns() + milliseconds * 1000000LL, left;
    enum order order = NONE;
    while (order == NONE && !expired && (left = (until - now_ns()) / 1000000) > 0) {
        struct pollfd ready = {STDIN_FILENO, POLLIN, 0};
        if (poll(&ready, 1, left) > 0) order = obey();
    }
    return order;
}

int main(int count, char **arguments) {
    enum order order = NONE;
    if (count != 5) return 64;
    servers = arguments[1], path = arguments[2], timeout = atoi(arguments[3]), identity = arguments[4];
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    start_over();
    for (; order != QUIT; order = order == QUIT ? QUIT : nap(POLL)) {
        if (expired) start_over();
        int size = strlen(identity) + 1; /* the NUL byte belongs to it */
        if (zoo_create(session, path, identity, size, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) != ZOK) continue;
        order = nap(WARM_UP);
        if (order == NONE && !expired) {
            say("LEAD", "");
            while ((order = nap(POLL)) == NONE && !expired && holds());
            say("STOP", "");
        }
        if (!expired && holds()) zoo_delete(session, path, -1);
    }
    zookeeper_close(session);
    return 0;
}
