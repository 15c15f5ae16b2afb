module NormFree.Tests.Archives.PickleTests

open System
open System.IO
open System.Numerics
open System.Text
open Expecto
open NormFree.Formats
open NormFree.Archives.Pickle
open NormFree.Tests.Formats

let private fixture name = File.ReadAllBytes(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "fixtures", "pickle", name))

let private both = PickleGlobals.Numpy.With PickleGlobals.PyTorch

let private readWith limits (bytes: byte[]) = PickleReader.Read(new MemoryStream(bytes), "damaged", limits, both)

let private read = readWith PickleLimits.Default

let private items (value: PickleValue | null) =
    match value with
    | null -> failtest "no such entry"
    | value ->
        match value.AsItems() with
        | null -> failtestf "%O has no items" value
        | items -> List.ofSeq items

let private textOf (value: PickleValue) = string (value.AsText())

let private numberOf (value: PickleValue) =
    match value with
    | :? PickleInt as number -> number.Value
    | value -> failtestf "%O is no number" value

let private realOf (value: PickleValue) =
    match value with
    | :? PickleFloat as number -> number.Value
    | value -> failtestf "%O is no float" value

let private expectPlain (root: PickleValue) =
    Expect.isTrue (root.Find "none" :? PickleNone) "none"
    Expect.equal (root.Find "truth" |> items |> List.map _.AsInt64()) [ Nullable 1L; Nullable 0L ] "truth"

    Expect.equal
        (root.Find "whole" |> items |> List.map numberOf)
        ([ 0L; 1L; 255L; 256L; 65535L; 65536L; -1L; 2147483647L; -2147483648L; 1L <<< 40 ]
         |> List.map BigInteger
         |> fun small -> small @ [ -BigInteger.Pow(2I, 70); BigInteger.Pow(2I, 1000) ])
        "whole"

    let reals = root.Find "real" |> items |> List.map realOf
    Expect.equal (List.take 4 reals) [ 0.5; -1e300; Double.PositiveInfinity; Double.NegativeInfinity ] "real"
    Expect.isTrue (Double.IsNaN reals[4]) "nan"

    Expect.equal
        (root.Find "text" |> items |> List.map textOf)
        [ ""; "plain"; "tab\tline\nback\\slash"; "Grüße"; "日本"; "😀"; "\\u0041" ]
        "text"

    let nested = root.Find "nested" |> items
    Expect.equal (nested |> List.take 5 |> List.map (items >> List.length)) [ 0..4 ] "tuples"
    let inner = nested[6].Find "a" |> Option.ofObj |> Option.bind (fun a -> a.Find "b" |> Option.ofObj)
    Expect.equal (inner |> Option.toObj |> items |> List.map textOf) [ "c" ] "dictionaries"
    let shared = root.Find "shared" |> items
    Expect.isTrue (shared |> List.forall (fun value -> obj.ReferenceEquals(value, shared[0]))) "shared"

let private array (root: PickleValue) name = NumpyArray.From(root.Find name, "damaged", name)

let private expectArrays (root: PickleValue) =
    let data = array root "data"
    Expect.equal (data.ElementType, List.ofSeq data.Shape) ("u1", [ 2L; 12L ]) "data"
    Expect.equal (data.Bytes.ToArray()) (Array.init 24 (fun i -> byte (i + 120))) "bytes"
    let columns = array root "columns"
    Expect.equal (columns.ElementType, List.ofSeq columns.Shape) ("i2", [ 2L; 3L; 4L ]) "columns"

    Expect.equal
        (columns.Bytes.ToArray())
        (Array.init 24 int16 |> Array.collect (fun (value: int16) -> BitConverter.GetBytes value))
        "row-major"

    Expect.equal (NumpyArray.Integers(root.Find "labels", "damaged", "labels")) [| 3L; -1L; 1L <<< 40 |] "labels"
    Expect.equal (NumpyArray.Integers(root.Find "list", "damaged", "list")) [| 5L; 0L; 9L |] "list"
    Expect.equal (List.ofSeq (array root "empty").Shape) [ 0L; 3L ] "empty"
    let real = array root "real"

    Expect.equal
        (real.ElementType, real.Bytes.ToArray())
        ("f4", Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 0.5f; -2.0f |])
        "real"

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

let private latin1 (text: string) = Encoding.Latin1.GetBytes text

/// Description, pickle, part of the error message.
let private rejected =
    [ "nothing", "", "1 bytes are claimed, but 0 remain"
      "no end", "N", "1 bytes are claimed"
      "an end without a value", ".", "the stack has too few values"
      "two values", "NN.", "values remain on the stack"
      "an open mark", "N(.", "the stack has too few values"
      "an import that is not allowed", "cos\nsystem\n.", "'os'.'system'"
      "the same through the stack", "\140\002os\140\006system\147.", "'os'.'system'"
      "an unknown class", "cevil\nX\n)\129.", "'evil'.'X', which is not on the allow-list"
      "a call of a number", "K\001)R.", "expected a callable and its arguments"
      "a call with a list", "cnumpy\nndarray\n]R.", "expected a callable and its arguments"
      "a state for a list", "]}b.", "set on a value that has none"
      "a second state", "cnumpy\ndtype\n)R}b}b.", "set on a value that has none"
      "an old instance", "(icollections\nOrderedDict\n.", "opcode 0x69"
      "a set", "\143.", "opcode 0x8f"
      "a registered extension", "\130\001.", "opcode 0x82"
      "an out-of-band buffer", "\151.", "opcode 0x97"
      "a newer protocol", "\128\006N.", "protocol 6 is not supported"
      "missing bytes", "B\255\255\255\127.", "2147483647 bytes are claimed, but 1 remain"
      "a negative length", "T\255\255\255\255.", "-1 bytes are claimed"
      "a length above 63 bits", "\142\255\255\255\255\255\255\255\255.", "bytes are claimed, but 1 remain"
      "a frame longer than the file", "\149\255\255\255\255\000\000\000\000N.", "a frame claims"
      "a number of 2 GiB", "\139\255\255\255\127.", "an integer of 2147483647 bytes"
      "a number of a thousand digits", "L" + String('9', 1000) + "L\n.", "expected an integer"
      "a memo entry that is not set", "h\005.", "memo entry 5 is used before"
      "a memo index in letters", "gx\n.", "expected an integer"
      "a negative memo index", "Np-1\n.", "expected a memo index"
      "a line without an end", "I1", "has no end"
      "a key without a value", "}(K\001u.", "has no value"
      "an append to a number", "K\001Na.", "expected a list"
      "an item set in a list", "]NNs.", "expected a dictionary"
      "a value below a mark", "N(\133.", "the stack has too few values"
      "a string that is not UTF-8", "X\001\000\000\000\255.", "expected valid UTF-8"
      "a broken escape", "V\\u12\n.", "expected a string"
      "an escape above U+10FFFF", "V\\U00110000\n.", "expected a string"
      "an unterminated quote", "S'a\n.", "expected a byte string"
      "a broken byte escape", "S'\\x1'\n.", "expected a byte string"
      "a list in itself", "]q\000h\000a.", "a value contains itself"
      "101 nested lists", String(']', 101) + String('a', 100) + ".", "more than 100 levels deep" ]

let private refusals =
    [ for what, pickle, part in rejected do
          test $"rejected: {what}" {
              let message = Mutation.refusal (fun () -> read (latin1 pickle))
              Expect.stringContains message part "message"
              Expect.stringStarts message "damaged, " "the file's name"
          }

      test "100 nested lists are accepted" { read (latin1 (String(']', 100) + String('a', 99) + ".")) |> ignore }

      test "the errors of fixtures name a class with a command and a cycle" {
          Expect.stringContains (Mutation.refusal (fun () -> read (fixture "stranger.pkl"))) "'system'" "stranger"
          Expect.stringContains (Mutation.refusal (fun () -> read (fixture "cycle.pkl"))) "contains itself" "cycle"
      }

      test "a name is allowed by the caller, not by the library" {
          let allow globals =
              PickleReader.Read(new MemoryStream(fixture "arrays-2.pkl"), "x", PickleLimits.Default, globals)

          allow PickleGlobals.Numpy |> ignore
          Expect.stringContains (Mutation.refusal (fun () -> allow PickleGlobals.None)) "_reconstruct" "message"
      }

      test "the limits hold" {
          let refusal depth memo bytes =
              Mutation.refusal (fun () -> fixture "plain-2.pkl" |> readWith (PickleLimits(depth, memo, bytes)))

          Expect.stringContains (refusal 100 3 10_000) "MaxMemo" "memo"
          Expect.stringContains (refusal 2 1_000 10_000) "2 levels deep" "depth"
          Expect.stringContains (refusal 100 1_000 9) "longer than 9" "bytes"
      }

      test "values that are shared exponentially often are read without walking every path" {
          // A tuple of the value before, twice, 90 times: 2^90 paths, 90 values.
          let twice = String.replicate 90 "2\134"
          read (latin1 ("N" + twice + ".")) |> ignore
      }

      for what, pickle in
          [ "shape",
            "cnumpy._core.numeric\n_frombuffer\n(C\002abcnumpy\ndtype\n(X\002\000\000\000u1tR(K\003X\001\000\000\000|tb(K\003tX\001\000\000\000CtR."
            "type",
            "cnumpy._core.numeric\n_frombuffer\n(C\002abcnumpy\ndtype\n(X\002\000\000\000i2tR(K\003X\001\000\000\000>tb(K\001tX\001\000\000\000CtR."
            "value", "]." ] do
          test $"an array with a wrong {what} is rejected" {
              let value = read (latin1 pickle)

              Expect.stringStarts
                  (Mutation.refusal (fun () -> NumpyArray.From(value, "damaged", "data")))
                  "damaged, data: "
                  "message"
          }

      test "the error for a missing array names it" {
          Expect.stringContains
              (Mutation.refusal (fun () -> NumpyArray.From(null, "damaged", "data")))
              "found nothing"
              "message"

          Expect.stringContains
              (Mutation.refusal (fun () -> NumpyArray.Integers(null, "damaged", "data")))
              "found nothing"
              "message"
      }

      for what, head, piece, tail in
          [ "empty dictionaries", "(", "}", "l."
            "lists of one", "(", "]]a", "l."
            "dictionaries of one", "(", "}NNs", "l."
            "tuples", "(", "N\133", "l."
            "memos", "N", "\148", "."
            "marks and lists", "(", "(l", "l."
            "repetitions", "(]", "2", "l."
            "references", "(]q\000", "h\000", "l."
            "empty bytes", "(", "C\000", "l."
            "large numbers", "(", "\138\002\000\001", "l." ] do
          test $"half a million bytes of {what} take a bounded multiple of memory" {
              let bytes = latin1 (head + String.replicate (500_000 / piece.Length) piece + tail)
              let before = GC.GetAllocatedBytesForCurrentThread()
              read bytes |> ignore
              let factor = float (GC.GetAllocatedBytesForCurrentThread() - before) / float bytes.Length
              Expect.isLessThan factor 160.0 "bytes allocated for a byte of the file"
          }

      test "damaged files give one kind of error and bounded memory" {
          let originals =
              [ for protocol in 0..5 do
                    fixture $"plain-{protocol}.pkl"
                    fixture $"arrays-{protocol}.pkl"
                    fixture $"extra-{protocol}.pkl"
                fixture "cifar-python2.pkl"
                fixture "python2-0.pkl" ]

          let rejected =
              Mutation.survive 2 200L originals (fun bytes ->
                  let root = read bytes

                  for name in [ "data"; "columns"; "real" ] do
                      NumpyArray.From(root.Find name, "damaged", name) |> ignore

                  NumpyArray.Integers(root.Find "labels", "damaged", "labels") |> ignore)

          Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
      } ]

/// Python 3 writes bytes in protocol 2 as a call that encodes Latin-1.
let private encodedKeys =
    test "a key of encoded bytes is found by its text" {
        let root = read (Encoding.Latin1.GetBytes "(dc_codecs\nencode\n(Vdata\nVlatin1\ntRI7\ns.")
        Expect.equal (numberOf (nonNull (root.Find "data"))) 7I "the value"
    }

let tests =
    testList "pickle" [ testList "reading" (encodedKeys :: reading); testList "refusals" refusals ]
