// For the tests of the container runtimes: answers "Healthy" on HTTP_PORT until SIGTERM, as the model server
// does.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  ::signal(SIGTERM, [](int) {
    constexpr char kText[] = "stopping\n";
    (void)!::write(1, kText, sizeof(kText) - 1);
    ::_exit(0);
  });
  const char* port = std::getenv("HTTP_PORT");
  const char* library = std::getenv("TIDEMILL_ORT_LIBRARY");
  const char* model = std::getenv("MODEL_PATH");
  std::printf("uid %d port %s runtime %s model %s argument %s HOME %s\n", static_cast<int>(::getuid()), port,
              ::dlopen(library, RTLD_NOW) ? "loaded" : ::dlerror(),
              ::access(model, R_OK) == 0 ? "there" : "missing", argc > 1 ? argv[1] : "none",
              std::getenv("TEST_SECRET") ? "leaked" : "clean");
  std::fflush(stdout);
  int listener = ::socket(AF_INET, SOCK_STREAM, 0), one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, 16) != 0) {
    std::perror("cannot listen");
    return 1;
  }
  while (true) {
    int client = ::accept(listener, nullptr, nullptr);
    if (client < 0) continue;
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nHealthy";
    (void)!::write(client, answer.data(), answer.size());
    ::close(client);
  }
}
