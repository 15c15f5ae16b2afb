/// Safetensors files at the limits of the format and of arrays.
module NormFree.Tests.Formats.SafetensorsLimitTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Tests.Data.Support

/// Opens a file with one tensor of zeros, whose bytes take no space on the disk.
let private withZeros (length: int64) (action: SafetensorsFile -> unit) =
    use folder = new TempFolder()
    let path = folder.File "large.safetensors"
    let json = sprintf """{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}""" length length

    using (File.Create path) (fun stream ->
        stream.Write(ReadOnlySpan(BitConverter.GetBytes(int64 json.Length)))
        stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes json))
        stream.SetLength(stream.Length + length))

    use file = SafetensorsFile.Open path
    action file

let private most = int64 Array.MaxLength

let tests =
    [ test "a tensor that does not fit into an array is rejected as a whole, and read in parts" {
          withZeros (most + 1L) (fun file ->
              let entry = file["a"]
              let bytes = Mutation.refusal (fun () -> file.ReadBytes entry)
              Expect.stringContains bytes $"its {most + 1L} bytes do not fit into one array. Read it in parts." "bytes"
              let elements = Mutation.refusal (fun () -> file.ReadAsDouble entry)
              Expect.stringContains elements $"its {most + 1L} elements do not fit into one array" "elements"
              let part = [| 1uy; 1uy |]
              file.ReadBytes(entry, most - 1L, Span part)
              Expect.equal part [| 0uy; 0uy |] "the last bytes")
      }

      test "a header above the format's limit is not written" {
          let writer = SafetensorsWriter().Describe("key", String('x', 100_000_000))

          Expect.throwsT<InvalidOperationException> (fun () -> writer.Write Stream.Null) "the limit"
      } ]

/// Takes 2 GiB of memory.
let soak =
    testList
        "large tensors"
        [ test "a tensor as large as an array can be is read" {
              withZeros most (fun file -> Expect.equal (file.ReadBytes file["a"]).LongLength most "bytes")
          } ]
