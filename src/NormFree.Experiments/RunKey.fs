namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Security.Cryptography
open System.Text
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// All that decides what a run comes to, and nothing else: not labels, folders, threads or the version.
type private Decisive =
    { Method: int
      Train: string
      Test: string
      Normalisation: Normalisation
      Size: int
      Augmentation: Augmentation
      Execution: Execution
      Device: Device
      Stages: (NetSpec * Recipe) list }

/// <summary>Tells runs apart by what decides their results, so that none is trained twice.</summary>
[<RequireQualifiedAccess>]
module RunKey =

    /// A teacher's file may move, and another may come to its place: its content counts.
    let private byContent (content: string -> string) (recipe: Recipe) =
        match recipe.Loss with
        | Distillation teacher -> { recipe with Loss = Distillation(content teacher) }
        | CrossEntropy
        | LabelSmoothing _ -> recipe

    let private hash (text: string) =
        Convert.ToHexStringLower(SHA256.HashData(ReadOnlySpan(Encoding.UTF8.GetBytes text)))[..15]

    /// <summary>For the images of a data set: from a variant, with its seed in its recipes, to 16 hexadecimal digits.</summary>
    /// <remarks>Looks at images and teachers once. The key throws InvalidFileException or IOException where a teacher's checkpoint cannot be read.</remarks>
    let forImages (dataset: Dataset) (execution: Execution) (device: Device) : Variant -> string =
        let teachers = Dictionary<string, string>()

        let content path =
            if not (teachers.ContainsKey path) then
                teachers[path] <- Fingerprint.ofCheckpoint path

            teachers[path]

        let train, test = ImageSource.fingerprint dataset.Train, ImageSource.fingerprint dataset.Test

        fun variant ->
            let stages = Variant.stages variant

            { Method = stages |> List.map (fun (net, recipe) -> Recipe.method recipe net) |> List.max
              Train = train
              Test = test
              Normalisation = dataset.Normalisation
              Size = dataset.Size
              Augmentation = dataset.Augmentation
              Execution = execution
              Device = device
              Stages = stages |> List.map (fun (net, recipe) -> net, byContent content recipe) }
            |> Json.write
            |> hash
