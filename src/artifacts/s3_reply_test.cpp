#include <gtest/gtest.h>

#include "artifacts/s3_reply.h"

namespace tidemill::artifacts {
namespace {

TEST(S3Reply, AListingHasObjectsFoldersAndTheNextPage) {
  S3Listing listing = read_listing(
                          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
                          "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                          "<Name>b</Name><IsTruncated>true</IsTruncated><Contents><Key>a &amp; "
                          "b/&#x2603;&#228;</Key><Size>12</Size></Contents>"
                          "<Contents><Key>c</Key><Size>5000000000</Size></Contents><CommonPrefixes><Prefix>d/"
                          "</Prefix></CommonPrefixes>"
                          "<NextContinuationToken>t==</NextContinuationToken><Empty/></ListBucketResult>")
                          .value();
  ASSERT_EQ(listing.objects.size(), 2u);
  EXPECT_EQ(listing.objects[0].key, "a & b/\u2603\u00e4");
  EXPECT_EQ(listing.objects[1].size, 5'000'000'000u);
  EXPECT_EQ(listing.prefixes, std::vector<std::string>{"d/"});
  EXPECT_EQ(listing.next, "t==");
}

TEST(S3Reply, ErrorsAreReadAndOtherTextsAreNone) {
  S3Problem problem = read_problem("<Error><Code>NoSuchKey</Code><Message>not there</Message></Error>");
  EXPECT_EQ(problem.code, "NoSuchKey");
  EXPECT_EQ(problem.message, "not there");
  EXPECT_EQ(read_problem("Bad Gateway").code, "");
  EXPECT_EQ(read_upload_id(
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"),
            "u1");
}

TEST(S3Reply, WhatIsDamagedIsRefused) {
  for (std::string_view bad :
       {"", "<a>", "<a></b>", "</a>", "<a><b></a></b>", "<a>&nope;</a>", "<a>&#0;</a>", "<a>&#xD800;</a>",
        "<a></a><b></b>", "<!DOCTYPE x [<!ENTITY a \"b\">]><a>&a;</a>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>", "<", "<a",
        "< a></ a>"})
    EXPECT_FALSE(read_listing(bad)) << bad;
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<a>";
  EXPECT_FALSE(read_listing(deep));
}

}  // namespace
}  // namespace tidemill::artifacts
