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
      "\254\255\000<\000h", "text", "model.safetensors"
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

          for head in [ "\255"; "\255\001"; "\254"; "\254\001" ] do
              test $"no kind: {Printable.Text head}" {
                  Expect.isNull (FileKind.Of(ReadOnlySpan(Encoding.Latin1.GetBytes head), "x")) "kind"
              }

          // Each byte is necessary, and none of the bytes that are there is read after the end.
          for signature, what in
              [ "PK\003\004", "zip"
                "\128\002", "pickle"
                "\031\139", "gzip"
                "BZh", "bzip2"
                "\253\055zXZ\000", "xz"
                "\040\181\047\253", "Zstandard"
                "\004\034\077\024", "LZ4"
                "7z\188\175\039\028", "7-Zip"
                "Rar!\026\007", "RAR"
                "\137HDF", "HDF5"
                "\147NUM", "NumPy"
                "\137PNG", "image"
                "\255\216\255", "an image"
                "GGUF", "GGUF"
                "\028\000\000\000TFL3", "TensorFlow Lite"
                "\008\007\018", "ONNX"
                "\001\000\000\000\000\000\000\000{", "safetensors"
                "version https://git-lfs", "Git LFS" ] do
              test $"every byte of a signature counts: {what}" {
                  let kind (bytes: byte[]) =
                      match FileKind.Of(ReadOnlySpan bytes, "x") with
                      | null -> "none"
                      | found -> found.What

                  let whole = Encoding.Latin1.GetBytes(signature + "\001\200\000")
                  Expect.stringContains (kind whole) what "the whole"

                  let free =
                      if what = "TensorFlow Lite" then 4
                      elif what = "safetensors" then 5
                      else 0

                  for i in free .. signature.Length - 1 do
                      for value in [ 0xfeuy; 0x7fuy ] do
                          let other = Array.copy whole
                          other[i] <- value
                          Expect.isFalse ((kind other).Contains what) $"byte {i} is {value}"

                      Expect.isFalse ((kind (Array.truncate i whole)).Contains what) $"{i} bytes"
              }

          test "unknown bytes are of no kind" {
              Expect.isNull (FileKind.Of(ReadOnlySpan [| 1uy; 0uy; 200uy; 3uy |], "x")) "kind"
          } ]
