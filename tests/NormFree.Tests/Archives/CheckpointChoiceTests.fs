/// Which dictionary of a training checkpoint holds the weights.
module NormFree.Tests.Archives.CheckpointChoiceTests

open System
open System.IO
open Expecto
open NormFree.Interop
open NormFree.Tests.Archives.CheckpointFixtures
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats

let private names =
    [ "model_state_dict"; "state_dict"; "net"; "model"; "model_ema"; "params"; "weights"; "network" ]

let tests =
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
