#include "net/splice_pipe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace tidemill {
namespace {

// What a process without privileges may ask for, as most machines are set up.
constexpr int kPipeBytes = 1 << 20;
constexpr size_t kCopyBytes = 256 << 10;

bool is_unknown(int error) { return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP; }

int write_whole(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(file, bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) return errno;
    if (wrote > 0) bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return 0;
}

// Where the kernel does not splice.
SplicePipe::Moved copy(int socket, int file, size_t most) {
  std::string buffer(std::min(most, kCopyBytes), '\0');
  ssize_t got = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return {.socket_error = errno};
  SplicePipe::Moved moved{.bytes = static_cast<size_t>(got)};
  moved.file_error = write_whole(file, std::string_view(buffer).substr(0, moved.bytes));
  return moved;
}

}  // namespace

bool SplicePipe::open() {
  if (in_) return true;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  out_.reset(ends[0]);
  in_.reset(ends[1]);
  (void)::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);  // the default of 64 KiB serves, too
  return true;
}

// What is in the pipe, on file systems that do not splice.
int SplicePipe::copy_out(int file, size_t bytes) {
  std::string buffer(std::min(bytes, kCopyBytes), '\0');
  while (bytes > 0) {
    ssize_t got = ::read(out_.get(), buffer.data(), std::min(bytes, buffer.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? errno : EIO;
    if (int error = write_whole(file, std::string_view(buffer).substr(0, static_cast<size_t>(got))))
      return error;
    bytes -= static_cast<size_t>(got);
  }
  return 0;
}

SplicePipe::Moved SplicePipe::move(int socket, int file, size_t most) {
  if (!open()) return copy(socket, file, most);
  ssize_t came = ::splice(socket, nullptr, in_.get(), nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (came < 0 && is_unknown(errno)) return copy(socket, file, most);
  if (came < 0) return {.socket_error = errno};
  Moved moved{.bytes = static_cast<size_t>(came)};
  for (size_t left = moved.bytes; left > 0;) {
    ssize_t put = ::splice(out_.get(), nullptr, file, nullptr, left, SPLICE_F_MOVE);
    if (put > 0) {
      left -= static_cast<size_t>(put);
      continue;
    }
    if (put < 0 && errno == EINTR) continue;
    moved.file_error = put < 0 ? errno : EIO;
    if (is_unknown(moved.file_error)) moved.file_error = copy_out(file, left);
    break;
  }
  if (moved.file_error != 0) {  // gone with what is in it
    in_.reset();
    out_.reset();
  }
  return moved;
}

}  // namespace tidemill
