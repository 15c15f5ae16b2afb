/// Pickles that are rejected, with the reason.
module NormFree.Tests.Archives.PickleRefusalTests

open System
open System.IO
open Expecto
open NormFree.Archives.Pickle
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PickleFixtures

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

let refusals =
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
