// A server that answers each line separately, and late in a chosen way: the other end of ontime.c. It
// always reads, except in a stall, during which it does nothing at all.
// usage: delays DELAY EVERY LATE AT STALL
//   each reply is sent DELAY ms after its message; each EVERYth, LATE ms later than that (0: none);
//   before it reads message number AT, the server stalls for STALL ms (0: never)
//   messages are counted over all connections; the counts restart when none is left
#include "load.h"

#define MOST 65536      // pending replies
#define EVENTS 1024     // per turn
#define CLIENTS 65536   // descriptors

struct client {
  size_t length;
  char held[4096];
};

struct reply {
  double due; // 0 once it is sent
  int fd;
  char text[80];
};

static struct client *clients[CLIENTS];
static struct reply pending[MOST];
static long first, end;         // of the pending replies
static long received, connected; // messages and connections
static int has_stalled;

static void send_due(double time) {
  for (long at = first; at < end; at++) {
    struct reply *one = &pending[at % MOST];
    if (!one->due || one->due > time) continue;
    size_t size = strlen(one->text);
    if (clients[one->fd] && write(one->fd, one->text, size) != (ssize_t)size) errno = 0; // it has left
    one->due = 0;
  }
  while (first < end && !pending[first % MOST].due) first++;
}

/** Seconds until the next reply is due; 1 if there is none. */
static double until_due(double time) {
  double least = 1;
  for (long at = first; at < end; at++) {
    double due = pending[at % MOST].due;
    if (due && due - time < least) least = due - time;
  }
  return least < 0 ? 0 : least;
}

static void sleep_for(double seconds) {
  struct timespec pause = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
  nanosleep(&pause, NULL);
}

static void leave(int fd) {
  close(fd);
  free(clients[fd]);
  clients[fd] = NULL;
  if (--connected == 0) received = has_stalled = 0;
}

static void receive(int fd, double delay, long every, double late) {
  struct client *client = clients[fd];
  ssize_t got = read(fd, client->held + client->length, sizeof client->held - 1 - client->length);
  if (got <= 0) return leave(fd);
  double time = now();
  client->held[client->length += got] = 0;
  char *line = client->held, *lf;
  for (; (lf = strchr(line, '\n')); line = lf + 1) {
    *lf = 0;
    if (end - first == MOST) die("too many pending replies");
    struct reply *one = &pending[end++ % MOST];
    received++;
    one->due = time + delay + (every && received % every == 0 ? late : 0);
    one->fd = fd;
    snprintf(one->text, sizeof one->text, "[%.40s] now\n", line);
  }
  memmove(client->held, line, client->length -= line - client->held);
}

int main(int argc, char **argv) {
  if (argc != 6) die("usage: delays DELAY EVERY LATE AT STALL");
  double delay = atof(argv[1]) * 1e-3, late = atof(argv[3]) * 1e-3, stall = atof(argv[5]) * 1e-3;
  long every = atol(argv[2]), stall_at = atol(argv[4]);
  prepare();
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, poller = epoll_create1(0);
  struct sockaddr_in here = {.sin_family = AF_INET};
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (bind(listener, (void *)&here, size) || listen(listener, 4096)) die("cannot listen");
  getsockname(listener, (void *)&here, &size);
  printf("listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
  fflush(stdout);
  struct epoll_event wish = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wish);
  for (;;) {
    int ready = wait_until(poller, events, EVENTS, now() + until_due(now()));
    for (int at = 0; at < ready; at++) {
      int fd = events[at].data.fd;
      if (fd == listener) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0 || fd >= CLIENTS) die("cannot accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        clients[fd] = room(sizeof *clients[fd]);
        connected++;
        wish.data.fd = fd;
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wish);
        continue;
      }
      if (stall && !has_stalled && received + 1 >= stall_at) {
        sleep_for(stall);
        has_stalled = 1;
      }
      receive(fd, delay, every, late);
    }
    send_due(now());
  }
}
