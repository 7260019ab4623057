// Settings for podman ($CONTAINERS_CONF) on machines where its own do not fit: no systemd, no journal, no
// crun, limits that may not be raised.
#pragma once

#include <string_view>

namespace tidemill::oci {

inline constexpr std::string_view kPlainPodmanSettings =
    "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n"
    "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";

}  // namespace tidemill::oci
