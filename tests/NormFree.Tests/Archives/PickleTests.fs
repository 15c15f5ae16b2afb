module NormFree.Tests.Archives.PickleTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Archives.Pickle
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PickleFixtures

let private reading =
    [ for protocol in 0..5 do
          test $"protocol {protocol}: plain data is read" { expectPlain (read (fixture $"plain-{protocol}.pkl")) }

          test $"protocol {protocol}: NumPy arrays are read" { expectArrays (read (fixture $"arrays-{protocol}.pkl")) }

          test $"protocol {protocol}: an ordered dictionary keeps its order" {
              let root = read (fixture $"extra-{protocol}.pkl")

              let entries =
                  match root.Find "ordered" with
                  | null -> failtest "no entry"
                  | value -> value.AsEntries() |> Option.ofObj |> Option.defaultWith (fun () -> failtest "no entries")

              // Protocols 0 and 1 store the content as pairs; the result must be the same.
              Expect.sequenceEqual (entries |> Seq.map (fun entry -> textOf entry.Key)) [ "x"; "y" ] "keys"
          }

      for protocol in 3..5 do
          test $"protocol {protocol}: bytes are read" {
              match (read (fixture $"extra-{protocol}.pkl")).Find "bytes" with
              | :? PickleBytes as bytes ->
                  Expect.equal (bytes.Value.ToArray()) [| 0uy; 255uy; 39uy; 34uy; 92uy |] "bytes"
              | other -> failtestf "%O" other
          }

      test "a CIFAR batch written by Python 2 is read" {
          let root = read (fixture "cifar-python2.pkl")
          let data = array root "data"
          Expect.equal (List.ofSeq data.Shape) [ 2L; 3072L ] "shape"
          Expect.equal (data.Bytes.ToArray()) (Array.init 6144 (fun i -> byte (i * 7 % 256))) "pixels"
          Expect.equal (NumpyArray.Integers(root.Find "labels", "damaged", "labels")) [| 6L; 9L |] "labels"

          Expect.equal
              (root.Find "batch_label" |> Option.ofObj |> Option.map textOf)
              (Some "training batch 1 of 5")
              "text"

          Expect.equal (root.Find "filenames" |> items |> List.map textOf) [ "café.png"; "b.png" ] "Latin-1"
      }

      test "protocol 0 written by Python 2 is read" {
          let root = read (fixture "python2-0.pkl")

          Expect.equal
              (root.Find "it's \000\n" |> Option.ofObj |> Option.map numberOf)
              (Some 12345678901234567890I)
              "long"

          Expect.equal (root.Find "b" |> Option.ofObj |> Option.map _.AsInt64()) (Some(Nullable 1L)) "truth"
      }

      test "a pickle followed by other bytes reports its length" {
          let bytes = Array.append (fixture "plain-2.pkl") "more"B
          let value, length = PickleReader.ReadPrefix(ReadOnlyMemory bytes, "x", PickleLimits.Default, both)
          expectPlain value
          Expect.equal length (bytes.Length - 4) "length"

          Expect.stringContains
              (Mutation.refusal (fun () -> read bytes))
              "4 bytes follow the end of the pickle"
              "message"
      }

      test "a stream that is not seekable is read" {
          use file = new MemoryStream(fixture "plain-4.pkl")
          use zipped = new MemoryStream()

          do
              use packer = new Compression.GZipStream(zipped, Compression.CompressionMode.Compress, true)
              file.CopyTo packer

          zipped.Position <- 0L
          use stream = new Compression.GZipStream(zipped, Compression.CompressionMode.Decompress)
          expectPlain (PickleReader.Read(stream, "x", PickleLimits.Default, PickleGlobals.None))
      } ]

/// Python 3 writes bytes in protocol 2 as a call that encodes Latin-1.
let private encodedKeys =
    test "a key of encoded bytes is found by its text" {
        let root = read (Encoding.Latin1.GetBytes "(dc_codecs\nencode\n(Vdata\nVlatin1\ntRI7\ns.")
        Expect.equal (numberOf (nonNull (root.Find "data"))) 7I "the value"
    }

let tests =
    testList "pickle" [ testList "reading" (encodedKeys :: reading); testList "refusals" PickleRefusalTests.refusals ]
