// The Beast body type that both parsers use. For the .cpp files of this folder only: it includes Boost.
#pragma once

#include <string>

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>

#include "base/files.h"

namespace tidemill {

// Takes a body piece by piece into a string or a file.
struct SinkBody {
  struct value_type {
    std::string text;
    Fd file;
    uint64_t size = 0;
    uint64_t limit = 0;  // of size
    std::string write_problem;
  };

  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(boost::beast::http::header<kIsRequest, Fields>&, value_type& sink) : sink_(sink) {}

    void init(const boost::optional<uint64_t>&, boost::system::error_code& error) { error = {}; }
    void finish(boost::system::error_code& error) { error = {}; }

    template <class Buffers>
    size_t put(const Buffers& buffers, boost::system::error_code& error) {
      error = {};
      size_t total = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        boost::asio::const_buffer piece = *it;
        store({static_cast<const char*>(piece.data()), piece.size()}, error);
        if (error) return total;
        total += piece.size();
      }
      return total;
    }

   private:
    void store(std::string_view bytes, boost::system::error_code& error) {
      sink_.size += bytes.size();
      if (sink_.size > sink_.limit) {
        error = boost::beast::http::error::body_limit;
      } else if (!sink_.file) {
        sink_.text.append(bytes);
      } else if (auto written = write_all(sink_.file, bytes); !written) {
        sink_.write_problem = written.error().message;
        error = boost::beast::http::error::buffer_overflow;
      }
    }

    value_type& sink_;
  };
};

}  // namespace tidemill
