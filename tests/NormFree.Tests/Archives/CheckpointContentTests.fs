/// Training checkpoints: tensors beside other objects, under many names. Nothing else is built or lost in silence.
module NormFree.Tests.Archives.CheckpointContentTests

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Interop
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats

let private latin1 (text: string) = Encoding.Latin1.GetBytes text

/// A zip archive of torch.save with this pickle and one storage of two floats, 1 and 2.
let private zipped level (pickle: string) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in
            [ "a/data.pkl", latin1 pickle
              "a/data/0", Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 1.0f; 2.0f |] ] do
            use part = zip.CreateEntry(name, level).Open()
            part.Write(ReadOnlySpan content))

    stream.ToArray()

let private file = zipped CompressionLevel.NoCompression

/// The pickle of a tensor of both elements, or of the first.
let private tensorOf (count: int) =
    "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQI0\n"
    + $"(I{count}\nt(I1\ntI00\n(dtR"

/// A dictionary of these pickles.
let private dictionary (entries: (string * string) list) =
    "(d" + String.Join("", [ for key, value in entries -> $"V{key}\n{value}s" ])

let private weights = dictionary [ "w", tensorOf 2 ]
let private read (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged")

let private chosen (name: string) (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged", name)

let private holdsWeights (file: PyTorchFile) =
    let tensor = Seq.exactlyOne file.Tensors
    Expect.equal tensor.Name "w" "name"
    Expect.equal (tensor.ToBytes()) (Array.append (BitConverter.GetBytes 1.0f) (BitConverter.GetBytes 2.0f)) "elements"

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

let private small = dictionary [ "mean", tensorOf 1 ]
let private two = dictionary [ "w", tensorOf 2; "v", tensorOf 1 ]

let private names =
    [ "model_state_dict"; "state_dict"; "net"; "model"; "model_ema"; "params"; "weights"; "network" ]

let private choices =
    testList
        "the state dictionary"
        [ for name in names do
              test $"is found under {name}" {
                  let file = read (file (dictionary [ "epoch", "I3\n"; name, weights ] + "."))
                  holdsWeights file
                  Expect.equal file.Weights name "weights"
              }

          for path, pickle in
              [ "model.state_dict", dictionary [ "model", dictionary [ "state_dict", weights; "step", "I1\n" ] ]
                "0", $"({weights}(dVepoch\nI1\nst"
                "agent", "cmy.module\nState\n)\129" + dictionary [ "agent", weights ] + "b"
                ".", dictionary [ "w", tensorOf 2; "optimizer", dictionary [ "state", two ] ] ] do
              test $"is found at {path}" {
                  let file = read (file (pickle + "."))
                  holdsWeights file
                  Expect.equal file.Weights path "weights"
              }

          for what, entries, weights, names in
              [ "the weights are before their average",
                [ "state_dict_ema", two; "state_dict", two ],
                "state_dict",
                [ "ema"; "state_dict_ema" ]
                "timm's average has its own name", [ "state_dict", two; "state_dict_ema", two ], "state_dict", [ "ema" ]
                "an average alone is taken", [ "ema", two; "note", "I1\n" ], "ema", [ "ema" ]
                "statistics are not weights", [ "rng", small; "anything", two ], "anything", []
                "a tensor of the accuracy is not weights", [ "best", tensorOf 1; "net", two ], "net", [] ] do
              test what {
                  let bytes = file (dictionary entries + ".")
                  Expect.equal (read bytes).Weights weights "preferred"

                  for name in names do
                      Expect.stringContains (chosen name bytes).Weights "ema" name
              }

          test "may have long keys, and keys of Python 2" {
              let long = String('k', 5000)

              let file =
                  read (
                      file (dictionary [ "net", dictionary [ long, tensorOf 2 ] + "U\001w" + tensorOf 1 + "s" ] + ".")
                  )

              Expect.sequenceEqual (file.Tensors |> Seq.map _.Name) [ long; "w" ] "keys"
          }

          test "that is asked for and is not there is refused with a list of the others" {
              let bytes = file (dictionary [ "state_dict", two; "state_dict_ema", two; "epoch", "I1\n" ] + ".")
              let message = Mutation.refusal (fun () -> chosen "teacher" bytes)

              for words in [ "'teacher'"; "state_dict (2 tensors)"; "state_dict_ema (2 tensors)" ] do
                  Expect.stringContains message words "message"
          }

          test "is reported with other weights, but not with random states" {
              use folder = new TempFolder()
              let path = folder.File "checkpoint.pt"
              let network = dictionary [ for name in [ "a"; "b"; "c"; "d" ] -> name, tensorOf 2 ]

              let entries =
                  [ "state_dict", network
                    "state_dict_ema", network
                    "states", two
                    "rng", tensorOf 1
                    "cuda", tensorOf 1 ]

              File.WriteAllBytes(path, file (dictionary entries + "."))
              use foreign = ForeignFile.OpenPyTorch path
              Expect.equal foreign.Content.Weights "state_dict" "weights"
              Expect.equal foreign.Content.OtherWeights [ "state_dict_ema", 4 ] "others"
          }

          test "may be a list of pairs, as Python 2 wrote ordered dictionaries" {
              let ordered pairs = $"ccollections\nOrderedDict\n((l{pairs}atR."
              read (file (ordered $"(Vw\n{tensorOf 2}t")) |> holdsWeights

              for pairs in [ "I1\n"; "(lVw\na"; "(Vw\nI1\nI2\nt" ] do
                  let message = Mutation.refusal (fun () -> read (file (ordered pairs)))
                  Expect.stringContains message "a key of the state dictionary is not a string" pairs
          }

          for what, root, found in
              [ "a number", "I1\n", "found an integer"
                "a tensor", tensorOf 2, "found an object of 'torch._utils'.'_rebuild_tensor_v2'"
                "an object", "cmy\nThing\n)R", "found an object of 'my'.'Thing'"
                "an object with entries", "cmy\nThing\n)RVa\nI1\ns", "found one without any"
                "an object with items", "cmy\nThing\n)RI1\na", "found a call of 'my'.'Thing'"
                "an empty ordered dictionary", "ccollections\nOrderedDict\n)R", "found one without any"
                "an ordered dictionary of an empty list", "ccollections\nOrderedDict\n((ltR", "found one without any"
                "an ordered dictionary of a number", "ccollections\nOrderedDict\n(I1\ntR", "found one without any"
                "an ordered dictionary of two lists",
                "ccollections\nOrderedDict\n((lI1\na(lI1\natR",
                "found one without any" ] do
              test $"is not {what}" {
                  let message = Mutation.refusal (fun () -> read (file (root + ".")))
                  Expect.stringContains message "expected a dictionary of tensors" "what is expected"
                  Expect.stringContains message found "what is there"
              }

          test "is not searched deeper than five levels, nor in more than ten thousand containers" {
              let nested depth = List.fold (fun inner _ -> dictionary [ "a", inner ]) weights [ 1..depth ]
              holdsWeights (read (file (nested 5 + ".")))

              Expect.stringContains
                  (Mutation.refusal (fun () -> read (file (nested 6 + "."))))
                  "without any"
                  "six levels"

              let others count = [ for i in 1..count -> $"k{i}", "(dVa\nI1\ns" ]
              holdsWeights (read (file (dictionary (others 9_998 @ [ "net", weights ]) + ".")))

              let many = file (dictionary (others 10_000 @ [ "net", weights ]) + ".")
              Expect.stringContains (Mutation.refusal (fun () -> read many)) "without any" "too many"
          }

          test "is chosen by its path, its last key, or the beginning of its path" {
              let bytes = file (dictionary [ "a", dictionary [ "b", weights ]; "c", two ] + ".")

              for name, path in [ "a.b", "a.b"; "b", "a.b"; "a", "a.b"; "c", "c" ] do
                  Expect.equal (chosen name bytes).Weights path name
          }

          test "of two whole models is refused with the first one's name" {
              let model name = $"cmodels\n{name}\n)\129" + dictionary [ "_modules", "(d" ] + "b"

              let message =
                  Mutation.refusal (fun () -> read (file (dictionary [ "a", model "A"; "b", model "B" ] + ".")))

              Expect.stringContains message "'models'.'A'" "class"
          }

          test "of a whole model is refused with the class's name, even beside statistics" {
              let modules = "cmodels\nNet\n)\129" + dictionary [ "_parameters", weights; "_modules", "(d" ] + "b"

              for pickle in [ modules; dictionary [ "model", modules; "rng", small ] ] do
                  let message = Mutation.refusal (fun () -> read (file (pickle + ".")))
                  Expect.stringContains message "'models'.'Net'" "class"
                  Expect.stringContains message "Save model.state_dict()" "remedy"
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

let tests = testList "checkpoint content" [ beside; choices; survives; expansions ]
