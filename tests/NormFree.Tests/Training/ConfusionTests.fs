/// Confusion matrices: counting, writing and reading.
module NormFree.Tests.Training.ConfusionTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Data
open NormFree.Formats
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Training.Support
open TorchSharp

let private data = lazy (Synthetic.dataset 3L 40 60)

let private recipe = { quick with Epochs = 2; Batch = 20 }

let private train (folder: TempFolder) handler =
    Pipeline.from data.Value
    |> Pipeline.into folder.Path
    |> Pipeline.onEvent handler
    |> Pipeline.train recipe (tiny (BnFree 0.2))
    |> Pipeline.finish

let private file (folder: TempFolder) = Path.Combine(folder.Path, "confusion.json")

let private saved (folder: TempFolder) =
    match ConfusionFile.read { Path = folder.Path } with
    | Some confusion -> confusion
    | None -> failtest "there is no confusion.json"

/// Class, prediction and its probability for each test image, from the best checkpoint's logits.
let private naive (folder: TempFolder) =
    let best = ({ Path = folder.Path }: RunFolder).Best 1
    use checkpoint = Checkpoint.load torch.ScalarType.Float32 best
    let images = Evaluation.first RunOptions.Default checkpoint.ImageTask 60 data.Value.Test
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let logits = checkpoint.Network.Forward(images, Evaluate).data<float32>().ToArray() |> Array.map float

    [ for i in 0..59 ->
          let row = logits[10 * i .. 10 * i + 9]
          let guess = Array.findIndex ((=) (Array.max row)) row
          data.Value.Test.Label i, guess, exp row[guess] / Array.sumBy exp row ]

let private counts =
    test "counts, classes and confidence are those of the best network's logits" {
        use folder = new TempFolder()
        let run = train folder ignore
        let confusion, expected = saved folder, naive folder
        let ofPair truth guess = expected |> List.filter (fun (t, g, _) -> t = truth && g = guess)
        let best = run.Stages |> List.last |> (fun (_, _, best) -> best)
        Expect.equal (confusion.Stage, confusion.Epoch, confusion.Images) (best.Stage, best.Epoch, 60) "checkpoint"
        Expect.equal confusion.Top1 best.Test.Top1 "the log's accuracy"

        for i, result in List.indexed confusion.Classes do
            Expect.equal result.Name data.Value.Classes[i] "name"
            Expect.equal result.Right (ofPair i i).Length "right"

        Expect.equal
            (confusion.Pairs |> List.map (fun p -> (p.Truth, p.Guess), p.Count) |> List.sort)
            (expected
             |> List.filter (fun (t, g, _) -> t <> g)
             |> List.countBy (fun (t, g, _) -> t, g)
             |> List.sort)
            "pairs"

        Expect.equal
            confusion.Pairs
            (confusion.Pairs |> List.sortByDescending _.Count |> List.sortBy (fun p -> -p.Count))
            "order"

        let most = confusion.Pairs.Head
        let confident = ofPair most.Truth most.Guess |> List.map (fun (_, _, p) -> p) |> List.sortDescending
        let shown = confusion.Mistakes |> List.filter (fun m -> (m.Truth, m.Guess) = (most.Truth, most.Guess))
        Expect.hasLength shown (min 3 confident.Length) "three per pair"

        for mistake, probability in List.zip shown (List.truncate shown.Length confident) do
            Expect.floatClose { absolute = 1e-5; relative = 0.0 } mistake.Probability probability "most confident first"
    }

let private pictures =
    test "pictures are the preprocessed test images" {
        use folder = new TempFolder()
        train folder ignore |> ignore
        let mistakes = (saved folder).Mistakes
        Expect.isNonEmpty mistakes "mistakes"
        Expect.isLessThanOrEqual mistakes.Length 24 "bounded"

        let preprocessed =
            [ for i in 0..59 do
                  match data.Value.Test.Load i with
                  | Ok image -> data.Value.Test.Name i, image
                  | Error why -> failtest why ]
            |> dict

        for mistake in mistakes do
            match Decode.image (Convert.FromBase64String mistake.Picture) with
            | Ok image -> Expect.equal image preprocessed[mistake.Name] mistake.Name
            | Error why -> failtest why
    }

let private writing =
    [ test "it is not part of the fingerprint, and is written once" {
          use folder = new TempFolder()
          train folder ignore |> ignore
          let fingerprint () = Fingerprint.ofRun { Path = folder.Path }
          let before, text = fingerprint (), File.ReadAllText(file folder)
          let old = DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc)
          File.SetLastWriteTimeUtc(file folder, old)
          train folder ignore |> ignore
          Expect.equal (File.GetLastWriteTimeUtc(file folder)) old "unchanged"
          File.Delete(file folder)
          Expect.equal (fingerprint ()) before "the same fingerprint"
          train folder ignore |> ignore
          Expect.equal (File.ReadAllText(file folder)) text "the same content"
      }

      test "one of another network, or a damaged one, is written again" {
          use folder = new TempFolder()
          train folder ignore |> ignore
          let text = File.ReadAllText(file folder)

          for other in [ Json.write { saved folder with Checkpoint = "another" }; "{" ] do
              File.WriteAllText(file folder, other)
              train folder ignore |> ignore
              Expect.equal (File.ReadAllText(file folder)) text "content"
      }

      test "if it cannot be written, the run ends with a warning" {
          use folder = new TempFolder()
          Directory.CreateDirectory(file folder) |> ignore
          let warnings = ResizeArray()

          let run =
              train folder (function
                  | Warning text -> warnings.Add text
                  | _ -> ())

          Expect.isTrue run.Finished "finished"
          Expect.hasLength warnings 1 "one warning"
          Expect.stringContains warnings[0] "the confusion matrix was not written" "text"
      }

      test "a folder without the file has no confusion matrix" {
          use folder = new TempFolder()
          Expect.isNone (ConfusionFile.read { Path = folder.Path }) "none"
      } ]

let private damaged =
    let sample: Confusion =
        { Checkpoint = "0123"
          Stage = "activations"
          Epoch = 2
          Classes = [ { Name = "cat"; Images = 10; Right = 7 }; { Name = "dog"; Images = 9; Right = 9 } ]
          Pairs = [ { Truth = 0; Guess = 1; Count = 3 } ]
          Mistakes = [ { Truth = 0; Guess = 1; Probability = 0.9; Name = "a.png"; Picture = "AAAA" } ] }

    let reading (folder: TempFolder) (text: string) =
        File.WriteAllText(file folder, text)
        refusal (fun () -> ConfusionFile.read { Path = folder.Path })

    [ for what, confusion, words in
          [ "a pair with an unknown class",
            { sample with Pairs = [ { Truth = 0; Guess = 2; Count = 1 } ] },
            "not of its 2 classes"
            "a mistake with an unknown class",
            { sample with Mistakes = sample.Mistakes |> List.map (fun m -> { m with Truth = -1 }) },
            "not of its 2 classes"
            "a picture that is not base64",
            { sample with Mistakes = sample.Mistakes |> List.map (fun m -> { m with Picture = "\"><script>" }) },
            "not base64"
            "more images recognised than exist",
            { sample with Classes = [ { Name = "cat"; Images = 1; Right = 2 } ] },
            "more correct predictions than images" ] do
          test $"{what} is rejected" {
              use folder = new TempFolder()
              let message = reading folder (Json.write confusion)
              Expect.stringContains message words "what"
              Expect.stringContains message "confusion.json, content" "where"
          }

      test "damaged files are rejected or give a value" {
          use folder = new TempFolder()
          let random = Random 11
          let original = Encoding.UTF8.GetBytes(Json.write sample)

          for round in 1 .. Mutation.rounds / 10 do
              File.WriteAllBytes(file folder, Mutation.damage random original)

              try
                  ConfusionFile.read { Path = folder.Path } |> ignore
              with
              | :? InvalidFileException -> ()
              | other -> failtest $"round {round}: {other}"
      } ]

let tests = testList "confusion" [ counts; pictures; yield! writing; yield! damaged ]
