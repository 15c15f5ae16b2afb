/// What users are told about files of other kinds that they gave as networks.
module NormFree.Tests.Formats.FileKindRemedyTests

open System
open System.Text
open Expecto
open NormFree.Formats

let private kinds =
    [ "BZh9", "bzip2", "bunzip2 -c 'my file' >"
      "\253\055zXZ\000", "xz", "unxz -c 'my file' >"
      "\040\181\047\253", "Zstandard", "unzstd -c 'my file' >"
      "\004\034\077\024", "LZ4", "unlz4 -c 'my file' >"
      "7z\188\175\039\028", "7-Zip", "7z x 'my file'"
      "Rar!\026\007\001\000", "RAR", "unrar x 'my file'"
      "\031\139\008\000", "gzip", "gunzip -c 'my file' >"
      "curl: (22) The requested URL returned error: 404\n", "text", "model.safetensors"
      "\255\254<\000h\000", "text", "model.safetensors"
      "{\"message\": \"Not Found\"}", "JSON", "model.safetensors"
      "<html>", "web page", "browser" ]

let tests =
    testList
        "file kinds and remedies"
        [ for head, kind, remedy in kinds do
              test $"{kind}: {Printable.Text head}" {
                  let found = FileKind.Of(ReadOnlySpan(Encoding.Latin1.GetBytes head), "my file")
                  Expect.isNotNull found "kind"
                  Expect.stringContains (nonNull found).What kind "what it is"
                  Expect.stringContains (nonNull found).Remedy remedy "remedy"
              }

          test "unknown bytes are of no kind" {
              Expect.isNull (FileKind.Of(ReadOnlySpan [| 1uy; 0uy; 200uy; 3uy |], "x")) "kind"
          } ]
