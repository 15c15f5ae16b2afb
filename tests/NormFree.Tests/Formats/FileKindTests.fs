/// Files of other kinds are recognised by their first bytes.
module NormFree.Tests.Formats.FileKindTests

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Tests
open NormFree.Tests.Data.Support

let private text (value: string) = Encoding.UTF8.GetBytes value

/// Bytes with a text at an offset.
let private at offset (value: string) size =
    let bytes = Array.zeroCreate<byte> size
    (text value).CopyTo(bytes, (offset: int))
    bytes

let private tar start = Array.append (text start) (at (257 - text(start).Length) "ustar" (512 - text(start).Length))

/// A count, and a name with its length, as TorchSharp writes.
let private torchSharp (count: byte list) (name: string) =
    Array.concat [ List.toArray count; [| byte name.Length |]; text name; [| 0uy |] ]

let private kinds =
    [ "nothing", [||], "the file is empty"
      "a zip archive", text "PK\003\004rest", "it is a zip archive"
      for version in [ 2uy; 5uy ] do
          $"a pickle of protocol {version}", [| 0x80uy; version; 0uy |], "it is a pickle"
      "a safetensors file", [| 9uy; 1uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; byte '{' |], "it is a safetensors file"
      "gzip", [| 0x1fuy; 0x8buy; 8uy |], "it is compressed with gzip"
      "an old tar of PyTorch", tar "sys_info\000", "it is a tar archive of PyTorch before 0.2"
      "a tar", tar "weights.bin", "it is a tar archive"
      "the shortest tar", Array.truncate 263 (tar "x"), "it is a tar archive"
      "a pointer of Git LFS", text "version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer"
      "HDF5", Array.append [| 0x89uy |] (text "HDF\r\n"), "it is an HDF5 file"
      "NumPy", Array.append [| 0x93uy |] (text "NUMPY"), "it is a NumPy array"
      "PNG", Array.append [| 0x89uy |] (text "PNG\r\n"), "it is an image"
      "JPEG", [| 0xffuy; 0xd8uy; 0xffuy; 0xe0uy |], "it is an image"
      "GGUF", text "GGUF\003", "it is a GGUF file"
      "TensorFlow Lite", Array.append [| 28uy; 0uy; 0uy; 0uy |] (text "TFL3"), "it is a TensorFlow Lite model"
      for version in [ 1uy; 32uy ] do
          for field in [ 0x12uy; 0x1auy; 0x22uy; 0x2auy; 0x32uy; 0x3auy; 0x42uy ] do
              $"ONNX, version {version}, field {field}", [| 8uy; version; field; 1uy |], "it looks like an ONNX model"
      "TorchSharp", torchSharp [ 3uy ] "conv1.weight_0", "it looks like TorchSharp's own format"
      "TorchSharp with many tensors", torchSharp [ 0x80uy; 1uy ] "w", "it looks like TorchSharp's own format"
      for page in [ "<!DOCTYPE html>"; "<html>"; "<?xml"; "\n <A"; "<z"; "\uFEFF<!--" ] do
          $"a page that starts with {Printable.Text page}", text page, "it is a web page"
      for json in [ "{\"a\": 1}"; " \r\n\t[1]" ] do
          $"JSON that starts with {Printable.Text json}", text json, "it is JSON text"
      for other in [ "weights"; "< 5"; "<@" ] do
          $"plain text: {other}", text other, "it is text" ]

let private unknown =
    [ "one byte", [| 7uy |]
      "a pickle of protocol 1", [| 0x80uy; 1uy; 0uy |]
      "a pickle of protocol 6", [| 0x80uy; 6uy; 0uy |]
      "a header of 2^40 bytes", [| 0uy; 0uy; 0uy; 0uy; 0uy; 1uy; 0uy; 0uy; byte '{' |]
      "a list instead of a header", [| 9uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; byte '[' |]
      "a tar that is too short", Array.truncate 262 (tar "-")
      "half a PNG", Array.append [| 0x89uy |] (text "PN")
      "ONNX of version 0", [| 8uy; 0uy; 0x12uy; 1uy |]
      "ONNX of version 33", [| 8uy; 33uy; 0x12uy; 1uy |]
      "ONNX without a known field", [| 8uy; 7uy; 0x13uy; 1uy |]
      "a name without letters", torchSharp [ 3uy ] "a-b"
      "a name that is cut", Array.truncate 5 (torchSharp [ 3uy ] "conv")
      "an empty name", [| 3uy; 0uy; 65uy; 65uy |]
      "a name of 128 bytes", torchSharp [ 3uy ] (String('a', 128))
      "plain text with a NUL", text "weights\000" ]

/// A zip archive with an entry of this name.
let private zip (name: string) =
    use bytes = new MemoryStream()
    use archive = new ZipArchive(bytes, ZipArchiveMode.Create, true)
    archive.CreateEntry name |> ignore
    archive.Dispose()
    bytes.ToArray()

let private rejection name (bytes: byte[]) =
    use folder = new TempFolder()
    let path = folder.Write(name, bytes)
    messageOf<InvalidFileException, _>(fun () -> SafetensorsFile.Open path)

let tests =
    testList
        "file kinds"
        [ for name, bytes, what in kinds do
              test $"recognised: {name}" {
                  match FileKind.Of(ReadOnlySpan bytes, "model file") with
                  | null -> failtest "not recognised"
                  | kind ->
                      Expect.stringStarts kind.What what "what it is"
                      Expect.equal kind.IsSafetensors (what = "it is a safetensors file") "safetensors"

                      if kind.Remedy.Contains "normfree" || kind.Remedy.Contains "gunzip" then
                          Expect.stringContains kind.Remedy "'model file'" "the path as an argument"
              }

          for name, bytes in unknown do
              test $"not recognised: {name}" {
                  Expect.isTrue (isNull (FileKind.Of(ReadOnlySpan bytes, "model"))) "kind"
              }

          for entry, what in
              [ "m/constants.pkl", "it is a TorchScript program"
                "m/data.pkl", "it is a zip archive, as torch.save writes"
                "arr_0.npy", "it is an archive of NumPy arrays"
                "model.weights.h5", "it is a Keras model"
                "other", "it is a zip archive, as torch.save writes" ] do
              test $"a zip archive is recognised by its names: {entry}" {
                  Expect.stringContains (rejection "model" (zip entry)) what "what it is"
              }

          test "a zip archive is recognised by the names at its end" {
              let long = Array.append (zip "m/constants.pkl") (Array.zeroCreate 70_000)

              Expect.stringContains
                  (rejection "model" long)
                  "it is a zip archive, as torch.save writes"
                  "not what it starts with"
          } ]
