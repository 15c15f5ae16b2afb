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

          test "of a whole model is refused with the class's name, even beside statistics" {
              let modules = "cmodels\nNet\n)\129" + dictionary [ "_parameters", weights; "_modules", "(d" ] + "b"

              for pickle in [ modules; dictionary [ "model", modules; "rng", small ] ] do
                  let message = Mutation.refusal (fun () -> read (file (pickle + ".")))
                  Expect.stringContains message "'models'.'Net'" "class"
                  Expect.stringContains message "Save model.state_dict()" "remedy"
          } ]
