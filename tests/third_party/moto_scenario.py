"""Buckets and objects of S3, queues of SQS, and tables of DynamoDB."""

from loadgen import User, scenario


@scenario
async def store(user: User) -> None:
    turn = user.data["turn"] = user.data.get("turn", 0) + 1
    bucket = f"/bucket-{user.id}-{turn}"
    host = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=0"
    }
    assert (await user.http.put(bucket, headers=host)).status_code == 200
    for number in range(3):
        body = f"{user.rng.random()}".encode()
        answer = await user.http.put(f"{bucket}/key{number}", content=body, headers=host)
        assert answer.status_code == 200, answer.text
        assert (await user.http.get(f"{bucket}/key{number}", headers=host)).content == body
    await user.http.get(f"{bucket}?list-type=2", headers=host)
    await user.http.get("/", headers=host)
    await user.http.delete(f"{bucket}/key0", headers=host)
    sqs = {**host, "Authorization": host["Authorization"].replace("/s3/", "/sqs/")}
    name = f"queue-{user.id}-{turn}"
    made = await user.http.post("/", data={"Action": "CreateQueue", "QueueName": name}, headers=sqs)
    assert made.status_code == 200, made.text
    url = f"http://sqs.us-east-1.amazonaws.com/123456789012/{name}"
    await user.http.post(
        "/", data={"Action": "SendMessage", "QueueUrl": url, "MessageBody": name}, headers=sqs
    )
    await user.http.post("/", data={"Action": "ReceiveMessage", "QueueUrl": url}, headers=sqs)
