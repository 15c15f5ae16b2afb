/// The checksum of safetensors files, computed again here, and every part that it covers.
module NormFree.Tests.Formats.SafetensorsChecksumTests

open System
open System.IO
open System.Security.Cryptography
open System.Text
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Tests.Formats.SafetensorsSupport

/// A small file; its checksum is added by `seal`.
type private Content = { Key: string; Value: string; Name: string; Type: DType; Shape: int64 list; Bytes: byte[] }

let private original =
    { Key = "key"
      Value = "Größe"
      Name = "weight"
      Type = DType.I16
      Shape = [ 2L; 1L ]
      Bytes = [| 1uy; 2uy; 3uy; 4uy |] }

let private written content (seal: SafetensorsWriter -> SafetensorsWriter) =
    let writer =
        SafetensorsWriter().Describe(content.Key, content.Value)
        |> add content.Name content.Type content.Shape content.Bytes

    SafetensorsFile.Read(new MemoryStream(bytesOf (seal writer)), "damaged")

let private sealedBy checksum (writer: SafetensorsWriter) = writer.Describe("checksum", checksum)

/// Each part with its length before it.
let private expected =
    let part (bytes: byte[]) = Array.append (BitConverter.GetBytes(int64 bytes.Length)) bytes
    let text (value: string) = part (Encoding.UTF8.GetBytes value)
    let shape = original.Shape |> List.map BitConverter.GetBytes |> Array.concat |> part

    [ text original.Key
      text original.Value
      text original.Name
      text "I16"
      shape
      part original.Bytes ]
    |> Array.concat
    |> SHA256.HashData
    |> Convert.ToHexStringLower
    |> (+) "sha256:"

let tests =
    [ test "it is the SHA-256 of metadata, names, types, shapes and bytes with their lengths" {
          use file = written original _.DescribeChecksum()
          Expect.equal file.Metadata["checksum"] expected "checksum"
          file.RequireChecksum()
      }

      for what, changed in
          [ "a key", { original with Key = "other" }
            "a value", { original with Value = "Grösse" }
            "a name", { original with Name = "bias" }
            "a type", { original with Type = DType.U16 }
            "a shape", { original with Shape = [ 1L; 2L ] }
            "a byte", { original with Bytes = [| 1uy; 2uy; 3uy; 5uy |] } ] do
          test $"another file is rejected that differs by {what}" {
              use file = written changed (sealedBy expected)
              Expect.stringContains (Mutation.refusal file.RequireChecksum) "differs from its checksum" "message"
          }

      test "a file without a checksum is rejected" {
          use file = written original id
          Expect.stringContains (Mutation.refusal file.RequireChecksum) "it has no checksum" "message"
      }

      test "the checksum covers each of several pieces of a large tensor" {
          let bytes = Array.init 200_000 byte
          let large = { original with Type = DType.U8; Shape = [ 200_000L ]; Bytes = bytes }
          use file = written large _.DescribeChecksum()
          file.RequireChecksum()
          let checksum = file.Metadata["checksum"]

          for at in [ 0; 65_535; 65_536; 131_072; 199_999 ] do
              let other = Array.copy bytes
              other[at] <- other[at] ^^^ 1uy
              use file = written { large with Bytes = other } (sealedBy checksum)
              Expect.stringContains (Mutation.refusal file.RequireChecksum) "differs" $"byte {at}"
      } ]
