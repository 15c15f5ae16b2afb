/// Training checkpoints: objects beside tensors are skipped and named, and nothing else is built.
module NormFree.Tests.Archives.CheckpointContentTests

open System
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Interop
open NormFree.Tests.Archives.CheckpointFixtures
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats

/// What lies beside tensors: its pickle, and how it is named.
let private objects =
    let dtype = "cnumpy\ndtype\n(Vf8\nI0\nI1\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb"

    [ "an argparse.Namespace", "cargparse\nNamespace\n)\129}Vlr\nF0.1\nsb", "'argparse'.'Namespace'"
      "a scalar of NumPy 1",
      $"cnumpy.core.multiarray\nscalar\n({dtype}C\008AAAAAAAAtR",
      "'numpy.core.multiarray'.'scalar'"
      "a scalar of NumPy 2",
      $"cnumpy._core.multiarray\nscalar\n({dtype}C\008AAAAAAAAtR",
      "'numpy._core.multiarray'.'scalar'"
      "NumPy's random state",
      $"(VMT19937\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\001btR(I1\n(I1\nt{dtype}I00\nC\008AAAAAAAAtbI624\ntp9\n",
      "x"
      "a Counter", "ccollections\nCounter\n((dI30\nI1\nstR", "x"
      "a defaultdict", "ccollections\ndefaultdict\n(cbuiltins\ndict\ntRVa\nI1\ns", "x"
      "a torch.device", "ctorch\ndevice\n(Vcuda\nI0\ntR", "'torch'.'device'"
      "a set of protocol 2", "c__builtin__\nset\n((lVa\natR", "'__builtin__'.'set'"
      "a set of protocol 4", "\143(Va\nVb\n\144", "x"
      "a frozen set", "(Va\n\145", "'builtins'.'frozenset'"
      "a complex number", "cbuiltins\ncomplex\n(F1\nF2\ntR", "'builtins'.'complex'"
      "Lightning's AttributeDict", "cpytorch_lightning.utilities.parsing\nAttributeDict\n)\129Vlr\nF0.1\ns", "x"
      "an object built with keywords", "cmy.module\nThing\n(I1\nt(dVk\nI2\ns\146", "'my.module'.'Thing'"
      "an old instance", "(I1\nimy.module\nThing\n", "'my.module'.'Thing'"
      "an old instance of a class on the stack", "(cmy.module\nThing\nI1\no", "'my.module'.'Thing'"
      "a call of a computed function", "cbuiltins\ngetattr\n(NVx\ntR(tR", "a computed function"
      "an object with two states", "cmy.module\nThing\n)\129}b}b", "'my.module'.'Thing'"
      "a state of a list", "]}b", "x"
      "a string that is not UTF-8", "X\001\000\000\000\255", "x"
      "a call of os.system", "cos\nsystem\n(Vecho no\ntR", "'os'.'system'"
      "a list in itself", "]p7\ng7\na", "x"
      "a hundred nested lists and more", String(']', 300) + String('a', 299), "x"
      "a quantised tensor", "ctorch._utils\n_rebuild_qtensor\n(NtR", "x" ]

let private beside =
    testList
        "beside tensors"
        [ for what, pickle, name in objects do
              test $"{what} is skipped and named" {
                  let file = read (file (dictionary [ "x", pickle; "state_dict", weights; "epoch", "I3\n" ] + "."))
                  holdsWeights file
                  Expect.equal file.Weights "state_dict" "weights"
                  let skipped = String.Join("; ", file.Skipped)
                  Expect.stringContains skipped name "the object"
                  Expect.stringContains skipped "epoch" "the number"
              }

          test "a dictionary of few tensors is skipped and named" {
              use folder = new TempFolder()
              let content = dictionary [ "state_dict", weights; "loss", dictionary [ "center", tensorOf 1 ] ] + "."
              use file = ForeignFile.OpenPyTorch(folder.Write("loss.pth", file content))
              Expect.equal file.Content.Weights "state_dict" "weights"
              Expect.equal file.Content.Skipped [ "loss" ] "skipped"
          }

          test "values that are not tensors within the state dictionary are other entries" {
              let file = read (file (dictionary [ "w", tensorOf 2; "epoch", "I3\n" ] + "."))
              holdsWeights file
              Expect.sequenceEqual file.OtherEntries [ "epoch" ] "entries"
          }

          test "a tensor with attributes is its tensor" {
              let plain = (tensorOf 2).Replace("ctorch._utils\n_rebuild_tensor_v2\n(", "(")
              let arguments = plain.Substring(0, plain.Length - 1)

              let attributed =
                  "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n"
                  + $"{arguments}(dVtag\nI1\nstR"

              read (file (dictionary [ "w", attributed ] + ".")) |> holdsWeights
          }

          test "a complex tensor of the stream format is skipped, and among the weights it is named" {
              let complex = (tensorOf 1).Replace("FloatStorage", "ComplexFloatStorage").Replace("V0\n", "V1\n")

              let stream entries =
                  let head = "\128\002\138\010l\252\156F\249 j\168P\025.\128\002M\233\003.\128\002}."
                  let keys = "(lV0\naV1\na."
                  let floats (values: float32 list) = values |> List.map BitConverter.GetBytes |> Array.concat

                  Array.concat
                      [ latin1 (head + dictionary entries + "." + keys)
                        BitConverter.GetBytes 2L
                        floats [ 1.0f; 2.0f ]
                        BitConverter.GetBytes 2L
                        floats [ 3.0f; 4.0f; 5.0f; 6.0f ] ]

              let file = read (stream [ "state_dict", weights; "rng", complex ])
              holdsWeights file
              Expect.sequenceEqual file.Skipped [ "rng" ] "skipped"

              let message = Mutation.refusal (fun () -> read (stream [ "w", tensorOf 2; "z", complex ]))

              Expect.stringContains message "tensor 'z': its numbers are complex or quantised" "message"
          }

          test "a quantised tensor among the weights is named with its function" {
              let pickle = dictionary [ "w", tensorOf 2; "q", "ctorch._utils\n_rebuild_qtensor\n(NtR" ] + "."
              let message = Mutation.refusal (fun () -> read (file pickle))
              Expect.stringContains message "tensor 'q'" "place"
              Expect.stringContains message "_rebuild_qtensor" "function"
          }

          test "compressed entries are read, and a bomb is not decompressed" {
              zipped CompressionLevel.Optimal (weights + ".") |> read |> holdsWeights
              let bomb = weights + "X\000\180\196\004" + String('A', 80_000_000) + "0."
              let packed = zipped CompressionLevel.SmallestSize bomb
              let before = GC.GetAllocatedBytesForCurrentThread()
              let message = Mutation.refusal (fun () -> read packed)
              Expect.stringContains message "too many for an archive of" "reason"
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 10_000_000L "allocated bytes"
          }

          test "entries without a checksum are read, and those with a wrong one are not" {
              let crc (value: byte) =
                  let bytes = file (weights + ".")
                  let directory = bytes.AsSpan().IndexOf(ReadOnlySpan(latin1 "PK\001\002"))
                  bytes.AsSpan(directory + 16, 4).Fill value
                  bytes

              crc 0uy |> read |> holdsWeights
              Expect.stringContains (Mutation.refusal (fun () -> read (crc 7uy))) "checksum" "reason"
          } ]

let private survives =
    test "damaged checkpoints give one kind of error and bounded memory" {
        let pickle = dictionary [ for i, (_, pickle, _) in List.indexed objects -> $"x{i}", pickle ]
        let whole = latin1 (pickle + "Vstate_dict\n" + two + "s.")
        let wrap (pickle: byte[]) = file (Encoding.Latin1.GetString pickle)

        let rejected =
            Mutation.surviveInside wrap 21 200L [ whole ] (fun bytes ->
                for tensor in (read bytes).Tensors do
                    tensor.ToBytes() |> ignore)

        Expect.isGreaterThan rejected (Mutation.rounds / 10) "rejected"
    }

/// Pickles of a few bytes whose values are huge if every path is walked.
let private expansions =
    testList
        "takes bounded time and memory for"
        [ for what, pickle in
              [ "dictionaries that are shared exponentially often",
                "(dVw\n" + tensorOf 2 + "s" + String.replicate 60 "p1\n0(dVa\ng1\nsVb\ng1\ns"
                "a key that occurs a hundred thousand times",
                "(dp1\nVw\n" + tensorOf 2 + "s0(dVkey\np2\n0" + String.replicate 100_000 "g2\ng1\ns"
                "long keys of many dictionaries",
                "(d"
                + $"V{String('k', 100_000)}\np2\n0"
                + String.replicate 10_000 "g2\n(ds"
                + "Vw\n"
                + tensorOf 2
                + "s" ] do
              test what {
                  let bytes = file (pickle + ".")
                  let before = GC.GetAllocatedBytesForCurrentThread()

                  try
                      read bytes |> ignore
                  with :? NormFree.Formats.InvalidFileException ->
                      ()

                  let factor = float (GC.GetAllocatedBytesForCurrentThread() - before) / float bytes.Length
                  Expect.isLessThan factor 300.0 "bytes allocated for a byte of the file"
              } ]

let tests = testList "checkpoint content" [ beside; CheckpointChoiceTests.tests; survives; expansions ]
