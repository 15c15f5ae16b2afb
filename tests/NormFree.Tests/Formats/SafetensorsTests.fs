/// Reading safetensors files: types, shapes and parts of tensors.
module NormFree.Tests.Formats.SafetensorsTests

open System
open Expecto
open FsCheck
open NormFree.Formats.Safetensors
open NormFree.Tests.Formats.SafetensorsSupport

let private isFloat dtype = List.contains dtype [ DType.F16; DType.BF16; DType.F32; DType.F64 ]

let private roundTrips =
    [ test "there is a sample of every type" {
          Expect.sequenceEqual (samples |> List.map (fun (dtype, _, _) -> dtype)) DTypes.All "types"
      }

      for dtype, bytes, values in samples do
          test $"{dtype.Name()} round-trips as bytes and converts to numbers" {
              use file = read everyType
              let entry = file[$"layer.{dtype.Name()}"]
              Expect.equal entry.DType dtype "type"
              Expect.sequenceEqual entry.Shape [ 3L; 1L ] "shape"
              Expect.equal (file.ReadBytes entry) bytes "bytes"
              Expect.sequenceEqual (file.ReadAsDouble entry) values "as double"
              Expect.sequenceEqual (file.ReadAsSingle entry) (values |> List.map float32) "as single"

              if isFloat dtype then
                  Expect.stringContains
                      (Mutation.refusal (fun () -> file.ReadAsInt64 entry))
                      "integers are required"
                      "as int64"
              else
                  Expect.sequenceEqual (file.ReadAsInt64 entry) (values |> List.map int64) "as int64"
          }

      test "metadata and order are preserved, and the data starts at a multiple of 64 bytes" {
          use file = read everyType
          Expect.equal file.Metadata["ä \"quoted\""] "line\nbreak" "text"
          Expect.sequenceEqual (file.Tensors |> Seq.map _.DType) DTypes.All "order"
          let data = samples |> List.sumBy (fun (_, bytes, _) -> bytes.Length)
          Expect.equal ((everyType.Length - data) % 64) 0 "alignment"
      }

      test "scalars, empty tensors and a file without tensors are valid" {
          use none = SafetensorsWriter() |> bytesOf |> read
          Expect.isEmpty none.Tensors "none"

          use file =
              SafetensorsWriter()
              |> add "scalar" DType.F32 [] (BitConverter.GetBytes 7.0f)
              |> add "empty" DType.F32 [ 3L; 0L ] [||]
              |> add "last" DType.U8 [ 1L ] [| 9uy |]
              |> bytesOf
              |> read

          Expect.equal (file.ReadAsSingle file["scalar"]) [| 7.0f |] "scalar"
          Expect.equal (file.ReadAsSingle file["empty"]) [||] "empty"
          Expect.equal (file.ReadAsInt64 file["last"]) [| 9L |] "last"
      }

      test "a number above 2^63-1 is an error when read as int64" {
          use file =
              SafetensorsWriter()
              |> add "big" DType.U64 [ 1L ] (BitConverter.GetBytes UInt64.MaxValue)
              |> bytesOf
              |> read

          Expect.stringContains (Mutation.refusal (fun () -> file.ReadAsInt64 file["big"])) "above 2^63-1" "message"
          Expect.equal (file.ReadAsDouble file["big"]) [| 18446744073709551616.0 |] "as double"
      }

      test "the error for a missing tensor names it" {
          use file = read everyType
          let message = Mutation.refusal (fun () -> file["fc.weight"])

          Expect.equal
              message
              "damaged, tensor 'fc.weight': it is not in the file. Check that the file belongs to this network."
              "message"
      }

      testProperty "any names and bytes round-trip" (fun (tensors: Map<NonEmptyString, byte[]>) ->
          let valid =
              [ for NonEmptyString name, bytes in Map.toList tensors do
                    if not (Seq.exists Char.IsSurrogate name) then
                        name, bytes ]

          use file =
              (SafetensorsWriter(), valid)
              ||> List.fold (fun writer (name, bytes) -> add name DType.U8 [ int64 bytes.Length ] bytes writer)
              |> bytesOf
              |> read

          for name, bytes in valid do
              Expect.equal (file.ReadBytes file[name]) bytes name)

      test "a tensor larger than the conversion buffer is converted completely" {
          let numbers = Array.init (2 * 65536 + 3) int16

          let writer =
              SafetensorsWriter()
              |> add "long" DType.I16 [ int64 numbers.Length ] (elements (List.ofArray numbers))

          use file = writer |> bytesOf |> read
          Expect.equal (file.ReadAsInt64 file["long"]) (Array.map int64 numbers) "numbers"
      }

      test "parts of a tensor can be read, but no byte outside it" {
          use file = read everyType
          let entry = file["layer.I32"]
          let part = Array.zeroCreate 4
          file.ReadBytes(entry, 8L, Span part)
          Expect.equal (BitConverter.ToInt32 part) Int32.MinValue "last element"
          Expect.throwsT<ArgumentOutOfRangeException> (fun () -> file.ReadBytes(entry, 9L, Span part)) "after its end"
          Expect.throwsT<ArgumentOutOfRangeException> (fun () -> file.ReadBytes(entry, -1L, Span part)) "before it"
      } ]

let tests =
    testList
        "safetensors"
        [ testList "round trips" roundTrips
          testList "headers" SafetensorsHeaderTests.tests
          testList "writing" SafetensorsWritingTests.tests
          testList "checksum" SafetensorsChecksumTests.tests
          testList "limits" SafetensorsLimitTests.tests ]
